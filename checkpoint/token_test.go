package checkpoint

import (
	"testing"
	"time"
)

func TestToken_TellsAllThatIsKnown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.call(imported("a"), refused("b"))
	in := intent(refused("b"), imported("c"))
	b.record(Batch{Intents: []Intent{in}})

	a, standing, err := b.Token(t.Context(), b.lease.Migration, "a")
	must(t, err)
	if a == nil || a.Outcome != Imported || a.Imported != sent("a").Fingerprint || time.Since(a.ImportedAt).Abs() > time.Minute ||
		time.Since(a.UpdatedAt).Abs() > time.Minute || a.RunID != b.run || time.Since(a.RunStarted).Abs() > time.Minute || a.RunVersion == "" || len(standing) != 0 {
		t.Errorf("a: got %+v and %v, want its import by run %d and no intent", a, standing, b.run)
	}
	r, standing, err := b.Token(t.Context(), b.lease.Migration, "b")
	must(t, err)
	if r == nil || r.Outcome != Failed || !r.ImportedAt.IsZero() || len(standing) != 1 || standing[0].Call != in.ID || standing[0].Run != b.run ||
		standing[0].Connector != in.Connector || standing[0].Over || time.Since(standing[0].StartedAt).Abs() > time.Minute {
		t.Errorf("b: got %+v and %+v, want it failed, and an intent", r, standing)
	}
	c, standing, err := b.Token(t.Context(), b.lease.Migration, "c")
	must(t, err)
	if c != nil || len(standing) != 1 {
		t.Errorf("c: got %+v and %v, want an intent alone", c, standing)
	}
	b.exec(`UPDATE {schema}.calls SET settle_after = now() - interval '1 second'`)
	if _, standing, err := b.Token(t.Context(), b.lease.Migration, "c"); err != nil || len(standing) != 1 || !standing[0].Over {
		t.Errorf("c, later: got %v and %v, want the call over", standing, err)
	}
	for _, migration := range []int64{b.lease.Migration, b.lease.Migration + 1} {
		if got, standing, err := b.Token(t.Context(), migration, map[bool]string{true: "d", false: "a"}[migration == b.lease.Migration]); err != nil || got != nil || len(standing) != 0 {
			t.Errorf("migration %d: got %+v, %v, %v; want nothing", migration, got, standing, err)
		}
	}
}
