package measure

import (
	"bufio"
	"os"
	"os/exec"
	"testing"
)

// Endpoint starts the stand-in of the endpoint that answers as fast as it can, in a
// process of its own, and returns its URL. source is the path of its package, of
// which there is one, in migrate/connect/testdata/standin. It ends with the
// benchmark.
func Endpoint(b *testing.B, source string) string {
	b.Helper()
	cmd := exec.Command(Build(b, source))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close() // which ends it
		_ = cmd.Wait()
	})
	line := bufio.NewScanner(out)
	if !line.Scan() {
		b.Fatal("the stand-in did not say where it listens")
	}
	return line.Text()
}
