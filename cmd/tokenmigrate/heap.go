package main

import (
	"os"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"sync"
	"time"
)

const (
	// heapFloor is the memory, in bytes, that the Go runtime may hold before it collects
	// garbage. A run holds a few MiB, and turns over as much many times a second: left to
	// itself the collector would run each time, at a tenth of what the whole run costs.
	heapFloor = 30 << 20
	// heapBeside is what the runtime holds beside the heap, and a margin.
	heapBeside = 8 << 20
	// heapLook is how often it is seen whether the floor is enough.
	heapLook = time.Second
)

// tendHeap has garbage collected when heapFloor is reached, or where more than half of
// that is in use, at twice of what is, and in any case at GOMEMLIMIT. stop ends that. Who
// sets GOGC has decided otherwise. It is the whole process's: only main may call it.
func tendHeap() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	most := debug.SetMemoryLimit(-1)
	percent := debug.SetGCPercent(-1)
	tend := func() { debug.SetMemoryLimit(min(most, heapLimit(heapInUse()))) }
	tend()
	ended := make(chan struct{})
	var tending sync.WaitGroup
	tending.Go(func() {
		tick := time.NewTicker(heapLook)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				tend()
			case <-ended:
				return
			}
		}
	})
	return func() {
		close(ended)
		tending.Wait()
		debug.SetMemoryLimit(most)
		debug.SetGCPercent(percent)
	}
}

// heapLimit is the limit for so many bytes in use.
func heapLimit(live uint64) int64 { return max(heapFloor, 2*int64(live)+heapBeside) }

// heapInUse returns how many bytes were in use when garbage was last collected.
func heapInUse() uint64 {
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(sample)
	return sample[0].Value.Uint64()
}
