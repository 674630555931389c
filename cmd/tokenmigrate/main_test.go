package main

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"tokenmigrate/checkpoint/localpg"
)

func TestMain(m *testing.M) {
	code := localpg.Main(m.Run, func() error { return goleak.Find() })
	if err := built.remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}
