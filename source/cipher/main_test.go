package cipher

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"tokenmigrate/checkpoint/localpg"
)

func TestMain(m *testing.M) {
	os.Exit(localpg.Main(m.Run, func() error { return goleak.Find() }))
}
