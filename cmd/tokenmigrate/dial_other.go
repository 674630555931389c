//go:build !linux

package main

import "syscall"

// limitUnacknowledged is Linux' alone.
func limitUnacknowledged(string, string, syscall.RawConn) error { return nil }
