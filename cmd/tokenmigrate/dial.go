package main

import (
	"net"
	"time"
)

// vanished is about how long it takes to notice that a database's machine or the
// way to it is gone without a word, in the middle of a statement.
const vanished = 30 * time.Second

// databaseDialer makes the connections to both databases. What it asks for is
// between this machine's kernel and its peer, a PgBouncer perhaps; the server's
// settings are not touched.
var databaseDialer = &net.Dialer{
	// While an answer is waited for: three unanswered probes.
	KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: vanished / 2, Interval: vanished / 6, Count: 3},
	// While what was sent is not acknowledged, when there are no probes.
	Control: limitUnacknowledged,
}
