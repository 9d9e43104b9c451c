// Package product is the struct that the benchmarks cache.
package product

import (
	"fmt"

	"github.com/tinylib/msgp/msgp"
)

// Product is what a service caches: some 860 bytes as JSON.
type Product struct {
	ID          int64             `json:"id"`
	SKU         string            `json:"sku"`
	Name        string            `json:"name"`
	Brand       string            `json:"brand"`
	Description string            `json:"description"`
	Currency    string            `json:"currency"`
	Price       int64             `json:"price"` // in hundredths
	Stock       int64             `json:"stock"`
	Rating      float64           `json:"rating"`
	Active      bool              `json:"active"`
	Created     int64             `json:"created"` // Unix, ms
	Updated     int64             `json:"updated"`
	Tags        []string          `json:"tags"`
	Attributes  map[string]string `json:"attributes"`
	Images      []Picture         `json:"images"`
}

// Picture is one of its images.
type Picture struct {
	URL    string `json:"url"`
	Width  int64  `json:"width"`
	Height int64  `json:"height"`
}

// Make gives the product of an id.
func Make(id int64) Product {
	image := func(n int) Picture {
		return Picture{fmt.Sprintf("https://images.example.com/products/%06d/%d.webp", id, n), 1600, 1200}
	}
	return Product{
		ID: id, SKU: fmt.Sprintf("TRK-%06d-BLK", id), Name: "Trail running shoe, waterproof", Brand: "Northbound",
		Description: "A light shoe for wet and stony paths: a knitted upper with a membrane, a plate against stones, " +
			"lugs of 5 mm, 8 mm from heel to toe. Runs half a size small; wash it by hand, dry in the air.",
		Currency: "EUR", Price: 12995, Stock: 37, Rating: 4.6, Active: true, Created: 1714557600000, Updated: 1718022153000,
		Tags:       []string{"running", "trail", "waterproof", "unisex", "summer"},
		Attributes: map[string]string{"colour": "black", "weight": "285 g", "material": "polyester", "closure": "laces", "sole": "rubber"},
		Images:     []Picture{image(1), image(2), image(3)},
	}
}

// Fast is a Product with the methods that msgp's generator would write for it.
type Fast Product

const fields = 15

// MarshalMsg appends the product in MessagePack.
func (p *Fast) MarshalMsg(b []byte) ([]byte, error) {
	b = msgp.AppendMapHeader(b, fields)
	b = msgp.AppendInt64(msgp.AppendString(b, "id"), p.ID)
	b = msgp.AppendString(msgp.AppendString(b, "sku"), p.SKU)
	b = msgp.AppendString(msgp.AppendString(b, "name"), p.Name)
	b = msgp.AppendString(msgp.AppendString(b, "brand"), p.Brand)
	b = msgp.AppendString(msgp.AppendString(b, "description"), p.Description)
	b = msgp.AppendString(msgp.AppendString(b, "currency"), p.Currency)
	b = msgp.AppendInt64(msgp.AppendString(b, "price"), p.Price)
	b = msgp.AppendInt64(msgp.AppendString(b, "stock"), p.Stock)
	b = msgp.AppendFloat64(msgp.AppendString(b, "rating"), p.Rating)
	b = msgp.AppendBool(msgp.AppendString(b, "active"), p.Active)
	b = msgp.AppendInt64(msgp.AppendString(b, "created"), p.Created)
	b = msgp.AppendInt64(msgp.AppendString(b, "updated"), p.Updated)
	b = msgp.AppendArrayHeader(msgp.AppendString(b, "tags"), uint32(len(p.Tags)))
	for _, tag := range p.Tags {
		b = msgp.AppendString(b, tag)
	}
	b = msgp.AppendMapHeader(msgp.AppendString(b, "attributes"), uint32(len(p.Attributes)))
	for name, value := range p.Attributes {
		b = msgp.AppendString(msgp.AppendString(b, name), value)
	}
	b = msgp.AppendArrayHeader(msgp.AppendString(b, "images"), uint32(len(p.Images)))
	for _, image := range p.Images {
		b = msgp.AppendMapHeader(b, 3)
		b = msgp.AppendString(msgp.AppendString(b, "url"), image.URL)
		b = msgp.AppendInt64(msgp.AppendString(b, "width"), image.Width)
		b = msgp.AppendInt64(msgp.AppendString(b, "height"), image.Height)
	}
	return b, nil
}

// UnmarshalMsg reads what MarshalMsg wrote and gives the bytes behind it.
func (p *Fast) UnmarshalMsg(b []byte) ([]byte, error) {
	return eachField(b, func(name string, b []byte) (_ []byte, err error) {
		switch name {
		case "id":
			p.ID, b, err = msgp.ReadInt64Bytes(b)
		case "sku":
			p.SKU, b, err = msgp.ReadStringBytes(b)
		case "name":
			p.Name, b, err = msgp.ReadStringBytes(b)
		case "brand":
			p.Brand, b, err = msgp.ReadStringBytes(b)
		case "description":
			p.Description, b, err = msgp.ReadStringBytes(b)
		case "currency":
			p.Currency, b, err = msgp.ReadStringBytes(b)
		case "price":
			p.Price, b, err = msgp.ReadInt64Bytes(b)
		case "stock":
			p.Stock, b, err = msgp.ReadInt64Bytes(b)
		case "rating":
			p.Rating, b, err = msgp.ReadFloat64Bytes(b)
		case "active":
			p.Active, b, err = msgp.ReadBoolBytes(b)
		case "created":
			p.Created, b, err = msgp.ReadInt64Bytes(b)
		case "updated":
			p.Updated, b, err = msgp.ReadInt64Bytes(b)
		case "tags":
			b, err = p.readTags(b)
		case "attributes":
			b, err = p.readAttributes(b)
		case "images":
			b, err = p.readImages(b)
		default:
			b, err = msgp.Skip(b)
		}
		return b, err
	})
}

// eachField walks over a map; its names are not kept.
func eachField(b []byte, field func(name string, b []byte) ([]byte, error)) ([]byte, error) {
	n, b, err := msgp.ReadMapHeaderBytes(b)
	for ; n > 0 && err == nil; n-- {
		var name []byte
		if name, b, err = msgp.ReadMapKeyZC(b); err == nil {
			b, err = field(msgp.UnsafeString(name), b)
		}
	}
	return b, err
}

func (p *Fast) readTags(b []byte) ([]byte, error) {
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil {
		return b, err
	}
	p.Tags = make([]string, n)
	for i := range p.Tags {
		if p.Tags[i], b, err = msgp.ReadStringBytes(b); err != nil {
			break
		}
	}
	return b, err
}

func (p *Fast) readAttributes(b []byte) ([]byte, error) {
	n, b, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		return b, err
	}
	p.Attributes = make(map[string]string, n)
	for range n {
		var name, value string
		if name, b, err = msgp.ReadStringBytes(b); err != nil {
			break
		}
		if value, b, err = msgp.ReadStringBytes(b); err != nil {
			break
		}
		p.Attributes[name] = value
	}
	return b, err
}

func (p *Fast) readImages(b []byte) ([]byte, error) {
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil {
		return b, err
	}
	p.Images = make([]Picture, n)
	for i := range p.Images {
		image := &p.Images[i]
		b, err = eachField(b, func(name string, b []byte) (_ []byte, err error) {
			switch name {
			case "url":
				image.URL, b, err = msgp.ReadStringBytes(b)
			case "width":
				image.Width, b, err = msgp.ReadInt64Bytes(b)
			case "height":
				image.Height, b, err = msgp.ReadInt64Bytes(b)
			default:
				b, err = msgp.Skip(b)
			}
			return b, err
		})
		if err != nil {
			break
		}
	}
	return b, err
}
