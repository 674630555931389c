//go:build crashtest

package main

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// A binary built with the tag crashtest kills itself with SIGKILL, as a machine
// that fails would, at the step and time that TOKENMIGRATE_CRASH_AT names:
// "after_intent:3" is the third time that a call is there. With
// TOKENMIGRATE_CRASH_STALL, a duration, it hangs there instead, and a stall is
// noticed after so long.
func init() {
	if limit, err := time.ParseDuration(os.Getenv("TOKENMIGRATE_CRASH_STALL")); err == nil {
		stallAfter, stallGrace = limit, limit
	}
	step, times, ok := strings.Cut(os.Getenv("TOKENMIGRATE_CRASH_AT"), ":")
	n, err := strconv.ParseInt(times, 10, 64)
	if !ok || err != nil {
		return
	}
	var seen atomic.Int64
	crashStep = func(name string, _ int) {
		if name == step && seen.Add(1) == n {
			if os.Getenv("TOKENMIGRATE_CRASH_STALL") != "" {
				select {} // for ever, as a bug would
			}
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
}
