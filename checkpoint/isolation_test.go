package checkpoint

import (
	"fmt"
	"sync"
	"testing"

	"tokenmigrate/checkpoint/localpg"
)

// What takes turns sees what those before it wrote, also where the database or the
// role has transactions see the past. Each case has shards wait for their turn at the
// same moment.
func TestStore_TakesTurnsUnderAnyIsolationLevel(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"repeatable read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			url := localpg.Database(t)
			first := openStore(t, url, testSchema)
			must(t, first.Migrate(t.Context()))
			execute(t, first, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = ''`+level+`''', current_database()); END $$`)
			s := openStore(t, url, testSchema)
			equal(t, "isolation", lines(t, s, `SELECT current_setting('default_transaction_isolation')`), level)
			_, err := s.CreateMigration(t.Context(), "acme-slack", func([]byte) map[string]string { return nil })
			must(t, err)
			all := []*bench{shard(t, s, 0, 2), shard(t, s, 1, 2)}

			written := 0
			together(t, first, all, func(i int, b *bench) (bool, error) {
				e := imported(fmt.Sprint(i))
				e.Identity = hash("the same")
				in := exclusive(e)
				out, err := b.Record(t.Context(), b.lease, b.run, Batch{Intents: []Intent{in}})
				return len(out.Claimed[in.ID]) == 0 && !out.LeaseLost, err
			}, &written)
			if written != 1 {
				t.Errorf("%d intents for one identity were written, want 1", written)
			}

			lasts := 0
			together(t, first, all, func(_ int, b *bench) (bool, error) {
				return b.FinishRun(t.Context(), b.lease, b.run, 0, []byte(`{"shards": 2}`), "", 0, 3)
			}, &lasts)
			if lasts != 1 {
				t.Errorf("%d shards were told that they are the last, want 1", lasts)
			}
		})
	}
}

// together has all wait for the migration's row, and counts for whom do is true.
func together(t *testing.T, holder *Store, all []*bench, do func(i int, b *bench) (bool, error), count *int) {
	t.Helper()
	tx, err := holder.pool.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), holder.in(`SELECT FROM {schema}.migrations FOR UPDATE`))
	must(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i, b := range all {
		wg.Go(func() {
			yes, err := do(i, b)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			} else if yes {
				*count++
			}
		})
	}
	for waiting := 0; waiting < len(all); {
		must(t, holder.pool.QueryRow(t.Context(), `
			SELECT count(*) FROM pg_stat_activity, pg_sleep(0.01) WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting))
	}
	must(t, tx.Rollback(t.Context()))
	wg.Wait()
}
