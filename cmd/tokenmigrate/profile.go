//go:build profile

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
)

// A binary built with the tag profile writes what it cost to the folder that
// TOKENMIGRATE_PROFILE names, when it ends: cost.json, which the benchmarks read,
// and, for whoever looks for where the cost is, cpu.pprof and allocs.pprof. The
// processor is profiled only with TOKENMIGRATE_PROFILE_CPU, since that costs too.
func init() {
	folder := os.Getenv("TOKENMIGRATE_PROFILE")
	if folder == "" {
		return
	}
	stop := func() {}
	if os.Getenv("TOKENMIGRATE_PROFILE_CPU") != "" {
		f, err := os.Create(filepath.Join(folder, "cpu.pprof"))
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			panic(err)
		}
		stop = func() { pprof.StopCPUProfile(); _ = f.Close() }
		runtime.MemProfileRate = 16 << 10
	}
	atExit = func() {
		stop()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		text, err := json.Marshal(map[string]uint64{"Bytes": m.TotalAlloc, "Allocs": m.Mallocs, "Peak": peak()})
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, "cost.json"), text, 0o600)
		}
		if err != nil {
			panic(err)
		}
		if f, err := os.Create(filepath.Join(folder, "allocs.pprof")); err == nil {
			_ = pprof.Lookup("allocs").WriteTo(f, 0)
			_ = f.Close()
		}
	}
}

// peak returns the most bytes that this process held at a time, as Linux tells it;
// 0 elsewhere. getrusage would also count what its parent held when it forked.
func peak() uint64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kib uint64
	_, _ = fmt.Sscan(after, &kib)
	return kib << 10
}
