package localpg

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// processesOf returns the numbers of the Postgres processes of a data directory,
// the postmaster, its children and its orphans: all of them work in it. Zombies
// do not count, nor do processes that we may not look at.
func processesOf(data string) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		proc := filepath.Join("/proc", entry.Name())
		cwd, err := os.Readlink(filepath.Join(proc, "cwd"))
		if err != nil || strings.TrimSuffix(cwd, " (deleted)") != data {
			continue
		}
		// Somebody's shell that looks at the data is not Postgres.
		if name, err := os.ReadFile(filepath.Join(proc, "comm")); err == nil && strings.HasPrefix(string(name), "post") {
			found = append(found, pid)
		}
	}
	return found
}
