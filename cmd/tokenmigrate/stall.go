package main

import "time"

// Other values are for the crash tests alone.
var (
	stallAfter time.Duration // 0: as package migrate has it
	// stallGrace is how long a stalled run may take to end by itself.
	stallGrace = 30 * time.Second
)

// endStalled ends the process if a run that has stalled does not end by itself: a
// goroutine that hangs would keep it, and its pod, for ever.
func (a *app) endStalled(err error) {
	time.AfterFunc(stallGrace, func() {
		a.printError(err)
		a.writeEnding(err)
		a.exit(exitCode(err))
	})
}
