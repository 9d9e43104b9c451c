package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart/examples/internal/shop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestVisit(t *testing.T) {
	for name, url := range shop.Servers(t) {
		t.Run(name, func(t *testing.T) { shop.Visit(t, serve, url) })
	}
}
