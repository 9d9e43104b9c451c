package database

import (
	"fmt"
	"os"
	"os/user"
	"strconv"

	"github.com/redstart-go/redstart/redstarttest/internal/process"
)

// serverUser is who runs the server where this program is run by root; nil: whoever
// runs this program.
func serverUser(names []string) (*process.Owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is a good answer
	}
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &process.Owner{UID: uint32(uid), GID: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("redstart/redstarttest/database: the server refuses to be run by root, and there is no user of %v", names)
}
