package shard

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/redstart-go/redstart"
)

// childEnv holds, in a child process that the parent kills, the servers of a Copy
// from all but the last to all.
const childEnv = "REDSTART_SHARD_TEST_CHILD"

// copyChild runs the job, and waits for a line on its standard input after each
// page, so that the parent can kill it in the middle.
func copyChild() int {
	urls := strings.Fields(os.Getenv(childEnv))
	var layouts [2]Layout
	for i := range layouts {
		members := make([]Member, len(urls)-1+i)
		for j := range members {
			members[j].Name = fmt.Sprintf("s%d", j)
		}
		var err error
		if layouts[i], err = NewLayout(members...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
	}
	cfg := CopyConfig{Shards: map[string]*redstart.Client{}, Count: 50, Batch: 7, Progress: func(c Copied) {
		fmt.Println("page", c.Moved)
		var word string
		_, _ = fmt.Scanln(&word)
	}}
	for i, url := range urls {
		c, err := redstart.Open(context.Background(), url, redstart.Config{})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
		defer c.Close()
		cfg.Shards[fmt.Sprintf("s%d", i)] = c
	}
	if _, err := Copy(context.Background(), Plan(layouts[0], layouts[1]), cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
