// Package measure compares what a stage of the migration costs with its floor: the
// least that any program pays for the same bytes. Both are measured in one run, in
// turns, so that what else the machine does falls to both, and what is read of a
// benchmark are ratios, not times. It is for benchmarks alone.
//
// Each benchmark reports, of the median of its rounds:
//
//	tokens/s       tokens a second
//	µs-cpu/token   time of processors, of the measured process alone, and beside it the floor's
//	B/token        bytes allocated
//	allocs/token   how often something was allocated
//	x-cpu          time of processors, as a multiple of the floor's
//	x-time         time that passed, as a multiple of the floor's
//	MiB-peak       memory that the process held at most
package measure

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
)

// Cost is what some work took.
type Cost struct {
	Time   time.Duration // that passed
	CPU    time.Duration // of processors, in user and in system mode
	Bytes  uint64        // allocated
	Allocs uint64
	Peak   uint64 // bytes that the process held at most; 0 where that was not asked for
}

// Here returns what do costs this process. The processor's time counts all that
// the process does meanwhile, such as collecting garbage.
func Here(do func()) Cost {
	var before, after runtime.MemStats
	runtime.GC() // what was left behind by others is not do's
	runtime.ReadMemStats(&before)
	cpu, start := processorTime(), time.Now()
	do()
	c := Cost{Time: time.Since(start), CPU: processorTime() - cpu}
	runtime.ReadMemStats(&after)
	c.Bytes, c.Allocs = after.TotalAlloc-before.TotalAlloc, after.Mallocs-before.Mallocs
	return c
}

// Rounds are the costs of doing the same again and again.
type Rounds []Cost

// Median returns the median of each of the costs.
func (r Rounds) Median() Cost {
	return Cost{
		Time:   median(r, func(c Cost) time.Duration { return c.Time }),
		CPU:    median(r, func(c Cost) time.Duration { return c.CPU }),
		Bytes:  median(r, func(c Cost) uint64 { return c.Bytes }),
		Allocs: median(r, func(c Cost) uint64 { return c.Allocs }),
		Peak:   median(r, func(c Cost) uint64 { return c.Peak }),
	}
}

func median[T cmp.Ordered](costs []Cost, of func(Cost) T) T {
	values := make([]T, len(costs))
	for i, c := range costs {
		values[i] = of(c)
	}
	slices.Sort(values)
	if len(values) == 0 {
		return *new(T)
	}
	return values[len(values)/2]
}

// Stage compares a stage of the migration with its floor, both done by this
// process with so many tokens a round: in turns, for as long as b asks for, and
// once before that which does not count.
func Stage(b *testing.B, tokens int, ours, floor func()) {
	b.Helper()
	ours()
	floor()
	var r, f Rounds
	for b.Loop() {
		f = append(f, Here(floor))
		r = append(r, Here(ours))
	}
	Report(b, tokens, r, f)
}

// Report reports the costs of rounds of so many tokens beside their floor's.
func Report(b *testing.B, tokens int, rounds, floor Rounds) {
	b.Helper()
	c, f, n := rounds.Median(), floor.Median(), float64(tokens)
	b.ReportMetric(0, "ns/op") // of both together, which tells nothing
	b.ReportMetric(n/c.Time.Seconds(), "tokens/s")
	b.ReportMetric(float64(c.CPU.Nanoseconds())/1e3/n, "µs-cpu/token")
	b.ReportMetric(float64(f.CPU.Nanoseconds())/1e3/n, "µs-cpu-floor/token")
	b.ReportMetric(float64(c.Bytes)/n, "B/token")
	b.ReportMetric(float64(c.Allocs)/n, "allocs/token")
	b.ReportMetric(ratio(c.CPU, f.CPU), "x-cpu")
	b.ReportMetric(ratio(c.Time, f.Time), "x-time")
	if c.Peak > 0 {
		b.ReportMetric(float64(c.Peak)/(1<<20), "MiB-peak")
	}
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(max(b, 1)) }

// Build builds a command and returns the path of its binary, which is removed with
// the benchmark's other files. The arguments are those of go build.
func Build(b *testing.B, args ...string) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "program")
	args = append([]string{"build", "-o", path}, args...)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		b.Fatalf("go %q: %v\n%s", args, err, out)
	}
	return path
}

// Number returns the number in the environment variable of that name, which asks
// for more, or less, than a benchmark does otherwise.
func Number(b *testing.B, name string, otherwise int) int {
	b.Helper()
	text, given := os.LookupEnv(name)
	if !given {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		b.Fatalf("%s=%s: it must be a number", name, text)
	}
	return n
}
