package main

import (
	"context"
	"fmt"
	"time"

	"tokenmigrate/migrate"
)

// Other values are for the crash tests alone.
var (
	stallAfter time.Duration // 0: as package migrate has it
	// stallGrace is how long a stalled run may take to end by itself.
	stallGrace = 30 * time.Second
)

// endStalled ends the process if a run that has stalled does not end by itself: a
// goroutine that hangs would keep it, and its pod, for ever. Once drain has ended it is
// stopped, whatever else it is.
func (a *app) endStalled(drain context.Context, err error) {
	time.AfterFunc(stallGrace, func() {
		if drain.Err() != nil {
			err = fmt.Errorf("%w: %w", migrate.ErrStopped, err)
		}
		a.printError(err)
		a.writeEnding(err)
		a.exit(exitCode(err))
	})
}
