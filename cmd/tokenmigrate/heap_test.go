package main

import (
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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

// tendHeap sets the collector, within what GOMEMLIMIT allows, follows what is in use,
// leaves all to who set GOGC, and puts it back. It is the whole process's, so that a
// process of its own tries it.
func TestTendHeap(t *testing.T) {
	if os.Getenv("TEND_HEAP") != "" {
		synctest.Test(t, tryTendHeap)
		return
	}
	t.Parallel()
	for _, c := range []struct{ env, want string }{
		{"", "percent -1, limit 30 MiB, with 40 MiB in use more than 80 true, after 100 true"},
		{"GOGC=150", "percent 150, limit 8796093022207 MiB, with 40 MiB in use more than 80 true, after 150 true"},
		{"GOMEMLIMIT=64MiB", "percent -1, limit 30 MiB, with 40 MiB in use more than 80 false, after 100 false"},
		{"GOMEMLIMIT=20MiB", "percent -1, limit 20 MiB, with 40 MiB in use more than 80 false, after 100 false"},
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestTendHeap$", "-test.v")
		cmd.Env = append(bareEnvironment(), "TEND_HEAP=1", c.env)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.want) {
			t.Errorf("with %q: got %v\n%s\nwant %q", c.env, err, out, c.want)
		}
	}
}

func tryTendHeap(t *testing.T) {
	stop := tendHeap()
	percent := debug.SetGCPercent(77)
	debug.SetGCPercent(percent)
	limit := debug.SetMemoryLimit(-1)
	held := make([]byte, 40<<20)
	runtime.GC()
	time.Sleep(heapLook)
	synctest.Wait()
	more := debug.SetMemoryLimit(-1) > 80<<20
	runtime.KeepAlive(held)
	stop()
	t.Logf("percent %d, limit %d MiB, with 40 MiB in use more than 80 %t, after %d %t",
		percent, limit>>20, more, debug.SetGCPercent(100), debug.SetMemoryLimit(-1) == math.MaxInt64)
}
