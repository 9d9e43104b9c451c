// Command redstart shows what Redis patterns do when things fail, and looks into what they keep.
//
//	redstart lab             run the experiments
//	redstart show KEY        decode a cache entry for people
//	redstart version
package main

import (
	"os"

	"github.com/redstart-go/redstart/cmd/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr)) }
