package topology

import (
	"context"
	"net"
	"strconv"
	"strings"
)

// standing is what a node says of its part in replication (INFO replication).
type standing struct {
	role     role
	stream   string // master_replid: which history of writes the offset counts in
	offset   int64  // bytes of it written, or taken over
	linked   bool   // of a replica: it hears its primary, and is not catching up from scratch
	replicas []string
}

// readStanding reads INFO replication. What is missing stays zero, which makes
// nobody a replica that may be read.
func readStanding(info string) standing {
	var s standing
	primaryOffset, ownOffset := int64(-1), int64(-1)
	syncing := false
	for line := range strings.Lines(info) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if !ok {
			continue
		}
		switch name {
		case "role":
			switch value {
			case "master":
				s.role = primary
			case "slave":
				s.role = replica
			}
		case "master_replid":
			s.stream = value
		case "master_repl_offset":
			primaryOffset = number(value)
		case "slave_repl_offset":
			ownOffset = number(value)
		case "master_link_status":
			s.linked = value == "up"
		case "master_sync_in_progress":
			syncing = value == "1"
		default:
			if strings.HasPrefix(name, "slave") {
				if addr := replicaLine(name, value); addr != "" {
					s.replicas = append(s.replicas, addr)
				}
			}
		}
	}
	s.offset = primaryOffset
	if s.role == replica {
		s.offset, s.linked = ownOffset, s.linked && !syncing
	}
	return s
}

// replicaLine reads slave0:ip=10.0.0.2,port=6379,state=online,….
func replicaLine(name, value string) string {
	if _, err := strconv.Atoi(name[len("slave"):]); err != nil {
		return ""
	}
	var ip, port string
	for field := range strings.SplitSeq(value, ",") {
		switch key, v, _ := strings.Cut(field, "="); key {
		case "ip":
			ip = v
		case "port":
			port = v
		}
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || ip == "" {
		return ""
	}
	return net.JoinHostPort(ip, port)
}

// number is a count of bytes; -1 is none.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// Of INFO server: which process it is, and where it stands, which Valkey 8 has.
const (
	runID = "run_id:"
	zone  = "availability_zone:"
)

// field reads a line of INFO, "" where there is none.
func field(info any, name string) string {
	text, _ := info.(string)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// AskReplicas asks a primary for the replicas that follow it.
func AskReplicas(ctx context.Context, dial Dialer, auth Auth, addr string) ([]string, error) {
	answer, err := Ask(ctx, dial, auth, addr, "INFO", "replication")
	if err != nil {
		return nil, err
	}
	text, _ := answer.(string)
	return readStanding(text).replicas, nil
}
