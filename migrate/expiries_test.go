package migrate

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tokenmigrate/migrate/report"
)

func TestLifeClass_HoldsItsLives(t *testing.T) {
	t.Parallel()
	for class := range lifeClasses {
		end := lifeEnd(class)
		if got := lifeClass(end); got != class {
			t.Fatalf("class %d ends with %s, and that is of class %d", class, end, got)
		}
		if class < lifeClasses-1 {
			if got := lifeClass(end + 1); got != class+1 {
				t.Fatalf("class %d ends with %s, and a moment more is of class %d", class, end, got)
			}
		}
	}
	if got := lifeClass(-day); got != 0 {
		t.Errorf("what expired a day ago: got class %d, want 0", got)
	}
	for name, end := range spanEnds {
		if got := lifeEnd(lifeClass(end)); got != end {
			t.Errorf("%s: it ends within a class that goes on until %s", name, got)
		}
	}
}

// TestExpiries_SumsUp compares with sorting each token alone.
func TestExpiries_SumsUp(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		life := func() time.Duration {
			scale := []time.Duration{10 * time.Second, time.Hour, day, 30 * day, 900 * day, 5000 * day}[rnd.IntN(6)]
			return time.Duration(rnd.Int64N(int64(scale))) - scale/10
		}
		run := max(life(), 0)
		var e expiries
		want := make([]report.Expiry, 7)
		for i, name := range report.ExpirySpans() {
			want[i].UpTo = name
		}
		for range 500 {
			left, refresh := life(), rnd.IntN(2) == 0
			e.add(left, refresh)
			i := 6
			switch {
			case left <= 0:
				i = 0
			case left <= lifeEnd(lifeClass(run)):
				i = 1
			case left <= time.Hour:
				i = 2
			case left <= day:
				i = 3
			case left <= 7*day:
				i = 4
			case left <= 30*day:
				i = 5
			}
			if refresh {
				want[i].WithRefresh++
			} else {
				want[i].WithoutRefresh++
			}
		}
		if got := e.report(run); !slices.Equal(got, want) {
			t.Errorf("seed %d, a run of %s:\n got %+v\nwant %+v", seed, run, got, want)
		}
	}
}
