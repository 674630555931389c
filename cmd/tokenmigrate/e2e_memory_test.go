package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// watchMemory looks at a process until it ends; the function that it returns waits
// for that and tells the most bytes that it held at a time. What the system tells at
// the end will not do: it counts the parent's memory before exec, and a test that
// looks for races is large.
func watchMemory(t *testing.T, pid int) func() int64 {
	t.Helper()
	most := make(chan int64, 1)
	go func() {
		look := time.NewTicker(5 * time.Millisecond)
		defer look.Stop()
		var peak int64
		for range look.C {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			_, after, found := strings.Cut(string(status), "VmHWM:")
			if err != nil || !found { // it is gone, or nobody's child any more
				most <- peak
				return
			}
			if fields := strings.Fields(after); len(fields) > 0 {
				if n, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
					peak = n << 10
				}
			}
		}
	}()
	return func() int64 { return <-most }
}
