package key

// slots is the number of slots of a Redis Cluster.
const slots = 16384

// crcTable is CRC-16/XMODEM (polynomial 0x1021, most significant bit first) of
// each byte. It is never written after the package is loaded.
var crcTable = crcBytes()

func crcBytes() (t [256]uint16) {
	for b := range t {
		crc := uint16(b) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
		t[b] = crc
	}
	return t
}

func crc16[T string | []byte](s T) uint16 {
	var crc uint16
	for i := range len(s) {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^s[i]]
	}
	return crc
}

// Slot is the Redis Cluster slot, 0 to 16383, of a concrete key: CRC-16/XMODEM
// modulo 16384 of the hash tag, which is what stands between the first '{' and
// the first '}' after it, or of the whole key when there is no such pair or
// nothing between. It takes any key, and allocates nothing.
func Slot(key string) uint16 { return slotOf(key) }

func slotOf[T string | []byte](key T) uint16 {
	for i := range len(key) {
		if key[i] != '{' {
			continue
		}
		for j := i + 1; j < len(key); j++ {
			if key[j] != '}' {
				continue
			}
			if j > i+1 {
				return crc16(key[i+1:j]) % slots
			}
			break
		}
		break
	}
	return crc16(key) % slots
}
