package main

import (
	"math"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"
)

func TestHeapLimit(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int64{
		0: heapFloor, 3 << 20: heapFloor, (heapFloor - heapBeside) / 2: heapFloor,
		heapFloor: 2*heapFloor + heapBeside, // what is in use never fills the limit
	} {
		if got := heapLimit(live); got != want {
			t.Errorf("%d in use: got a limit of %d, want %d", live, got, want)
		}
	}
	if heapInUse() == 0 || heapInUse() > math.MaxInt32 {
		t.Errorf("got %d bytes in use", heapInUse())
	}
}

// tendHeap sets the collector, within what GOMEMLIMIT allows, leaves it to who set GOGC,
// and puts it back.
// It is the whole process's, so that a process of its own tries it.
func TestTendHeap(t *testing.T) {
	if os.Getenv("TEND_HEAP") != "" {
		stop := tendHeap()
		during := debug.SetGCPercent(77)
		debug.SetGCPercent(during)
		limit := debug.SetMemoryLimit(-1)
		stop()
		t.Logf("during %d %d, after %d %t", during, limit, debug.SetGCPercent(100), debug.SetMemoryLimit(-1) == math.MaxInt64)
		return
	}
	t.Parallel()
	for _, c := range []struct{ env, want string }{
		{"", "during -1 31457280, after 100 true"},
		{"GOGC=150", "during 150 9223372036854775807, after 150 true"},
		{"GOMEMLIMIT=64MiB", "during -1 31457280, after 100 false"},
		{"GOMEMLIMIT=20MiB", "during -1 20971520, after 100 false"},
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestTendHeap$", "-test.v")
		cmd.Env = append(bareEnvironment(), "TEND_HEAP=1", c.env)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.want) {
			t.Errorf("with %q: got %v\n%s\nwant %q", c.env, err, out, c.want)
		}
	}
}
