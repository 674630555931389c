package migrate

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"tokenmigrate/checkpoint"
)

func TestChunk_IsHalvedFromTheThirdLostAnswerOn(t *testing.T) {
	t.Parallel()
	// Others are answered in between: it is this chunk.
	c := &chunk{}
	for n, want := range []bool{false, false, true, true} {
		c.lose(int64(n))
		if got := c.suspect(8); got != want {
			t.Errorf("others succeed, lost answer %d: got halved %t, want %t", n+1, got, want)
		}
	}
	// Nothing is answered: each third time, in case there is nothing else left.
	c = &chunk{}
	for n, want := range []bool{false, false, true, false, false, true} {
		c.lose(7)
		if got := c.suspect(8); got != want {
			t.Errorf("nothing else succeeds, lost answer %d: got halved %t, want %t", n+1, got, want)
		}
	}
}

func TestChunk_IsSpentOnlyWhileTheEndpointAnswersOthers(t *testing.T) {
	t.Parallel()
	lost := func(answered ...int64) *chunk {
		c := &chunk{}
		for _, n := range answered {
			c.lose(n)
		}
		return c
	}
	for _, c := range []struct {
		name  string
		chunk *chunk
		down  bool
		want  bool
	}{
		{"eight lost, others answered each time", lost(1, 2, 3, 4, 5, 6, 7, 8), false, true},
		{"seven lost, others answered each time", lost(1, 2, 3, 4, 5, 6, 7), false, false},
		{"eight lost, nothing answered", lost(5, 5, 5, 5, 5, 5, 5, 5), false, false},
		{"eight lost, nothing answered, down for long", lost(5, 5, 5, 5, 5, 5, 5, 5), true, false},
		{"eight lost, others answered early on, down for long", lost(5, 6, 6, 6, 6, 6, 6, 6), true, true},
		{"eight lost, others answered early on, not down", lost(5, 6, 6, 6, 6, 6, 6, 6), false, false},
	} {
		if got := c.chunk.spent(8, c.down); got != c.want {
			t.Errorf("%s: got spent %t, want %t", c.name, got, c.want)
		}
	}
}

// A slow pace that is given back must not keep those waiting who took their
// places under it.
func TestPace_SteeringReachesThoseWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPace(600, func(string, float64) {})
		p.steer(checkpoint.Steering{RequestsPerMinute: 0.5})
		permits := make(chan time.Time, 4)
		for range 4 {
			go func() {
				if p.permit(context.Background()) == nil {
					permits <- time.Now()
				}
			}()
		}
		synctest.Wait()
		time.Sleep(10 * time.Second)
		start := time.Now()
		p.steer(checkpoint.Steering{})
		for range 4 {
			if at := <-permits; at.Sub(start) > 5*time.Second {
				t.Errorf("got a permit %s after the pace was given back, want all four within 5s", at.Sub(start))
			}
		}
	})
}

// What the endpoint said to another worker holds for this one.
func TestPace_PausesForWhatAnotherWorkerWasTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPace(6000, func(string, float64) {})
		p.steer(checkpoint.Steering{PausedFor: 20 * time.Second})
		start := time.Now()
		if err := p.permit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited < 20*time.Second || waited > 21*time.Second {
			t.Errorf("got a permit after %s, want one after 20s", waited)
		}
	})
}
