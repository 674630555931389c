//go:build unix && !linux

package localpg

import (
	"os/exec"
	"strconv"
	"strings"
)

// processesOf returns the numbers of the Postgres processes of a data directory:
// the postmaster, known by its -D argument, and its children. Orphans whose
// postmaster is gone are not found; they notice that themselves and end.
func processesOf(data string) []int {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,command=").Output()
	if err != nil {
		return nil
	}
	return parseProcesses(string(out), data)
}

func parseProcesses(out, data string) []int {
	var found []int
	masters := map[int]bool{}
	children := map[int][]int{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		pid, err1 := strconv.Atoi(fields[0])
		parent, err2 := strconv.Atoi(fields[1])
		if err1 != nil || err2 != nil {
			continue
		}
		children[parent] = append(children[parent], pid)
		if command := strings.Join(fields[2:], " "); strings.Contains(command, "postgres -D "+data) {
			masters[pid] = true
			found = append(found, pid)
		}
	}
	for master := range masters {
		found = append(found, children[master]...)
	}
	return found
}
