package report

import (
	"math/rand/v2"
	"testing"
)

func TestTimeline_KeepsARunOfAnyLength(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 1))
	for _, adds := range []int{0, 1, 2, 3, 239, 240, 241, 1000, 50_000} {
		var line Timeline
		var first, last ProgressPoint
		at := 0.0
		for n := range adds {
			last = ProgressPoint{Seconds: at, Done: int64(n)}
			if n == 0 {
				first = last
			}
			line.Add(last)
			at += 0.2 + 2*rnd.Float64()
			if len(line.points) > MaxProgress {
				t.Fatalf("%d of %d added: got %d points, want at most %d", n, adds, len(line.points), MaxProgress)
			}
		}
		got := line.Points()
		if got == nil {
			t.Fatalf("%d added: got nil", adds)
		}
		if adds == 0 {
			continue
		}
		if got[0] != first || got[len(got)-1] != last {
			t.Errorf("%d added: got %+v to %+v, want the first and the newest: %+v, %+v", adds, got[0], got[len(got)-1], first, last)
		}
		if adds > 1000 && len(got) < MaxProgress/2 {
			t.Errorf("%d added: got %d points, want at least half of %d", adds, len(got), MaxProgress)
		}
		for i := 1; i < len(got); i++ {
			gap := got[i].Seconds - got[i-1].Seconds
			if i < len(got)-1 && gap < line.every || gap <= 0 || gap > 2*line.every+2.2 {
				t.Errorf("%d added: got %g s between points %d and %d, want about %g", adds, gap, i-1, i, line.every)
			}
		}
	}
}
