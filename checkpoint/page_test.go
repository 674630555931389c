package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/checkpoint/pgerr"
)

// ask is what is asked for tokens as sent makes them.
func ask(keys ...string) []Asked {
	asked := make([]Asked, len(keys))
	for i, key := range keys {
		asked[i] = Asked{Key: key, Fingerprint: hash("f" + key)}
	}
	return asked
}

// page looks a page of the bench's shard up.
func (b *bench) page(run int64, number int, asked ...Asked) ([]Prior, *Page) {
	b.Helper()
	priors, page, err := b.PagePriors(b.Context(), b.lease.Migration, run, b.lease.Shard, number, asked)
	must(b.T, err)
	return priors, page
}

// remembers fails unless the page is remembered, or is not.
func (b *bench) remembers(what string, want bool, number int, asked ...Asked) []Prior {
	b.Helper()
	priors, page := b.page(b.run, number, asked...)
	if (page == nil) != want {
		b.Errorf("%s: remembered is %t, want %t", what, page == nil, want)
	}
	return priors
}

// remembering returns a second run, to which page 1 of a, b, c and d is remembered: a
// and b were imported, c was refused, and nothing is known of d.
func remembering(t *testing.T, s *Store) *bench {
	t.Helper()
	first := begin(t, s, "acme-slack", "first")
	first.call(imported("a"), imported("b"), refused("c"))
	b := first.takeOver("second")
	_, page := b.page(b.run, 1, ask("a", "b", "c", "d")...)
	if page == nil || page.Number != 1 || page.Run != first.run || !slices.Equal(page.Rest, []int32{2, 3}) {
		t.Fatalf("got %+v, want page 1, of which two tokens are not settled, and run %d", page, first.run)
	}
	b.record(Batch{Pages: []Page{*page}})
	return b
}

func TestPagePriors_RemembersAPage(t *testing.T) {
	t.Parallel()
	b := remembering(t, newStore(t))
	asked := ask("a", "b", "c", "d")
	want, err := b.Priors(t.Context(), b.lease.Migration, asked)
	must(t, err)
	if got := b.remembers("the same page", true, 1, asked...); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v as by key", got, want)
	}
	// What was not settled is looked up, whatever became of it.
	b.call(imported("d"))
	if got := b.remembers("once more is imported", true, 1, asked...); got[3].Outcome != Imported || got[3].RunID != b.run || got[3].Imported != hash("fd") {
		t.Errorf("got %+v of a token that was imported since", got[3])
	}
	changed := slices.Clone(asked)
	changed[1].Fingerprint = hash("other")
	longer := append(slices.Clone(asked), Asked{Key: "e"})
	joined := []Asked{{"a", hash("fa")}, {"b", hash("fb")}, {"c", hash("fc")}, {"d", hash("fd")}}
	joined[0].Key, joined[1].Key = "ab", ""
	for what, other := range map[string][]Asked{
		"other content": changed, "a row more": longer, "a row less": asked[:3], "other keys": joined,
		"another order": {asked[1], asked[0], asked[2], asked[3]},
	} {
		b.remembers(what, false, 1, other...)
	}
	b.remembers("another place", false, 2, asked...)
	if _, page, err := b.PagePriors(t.Context(), b.lease.Migration, b.run, 1, 1, asked); err != nil || page == nil {
		t.Errorf("another shard: got %+v, %v, want none remembered", page, err)
	}
	other := begin(t, b.Store, "other", "first")
	other.remembers("another migration", false, 1, asked...)
	_, page := b.page(b.run, 1, changed...)
	b.record(Batch{Pages: []Page{*page}})
	later := b.takeOver("third")
	later.remembers("the page that was written last", true, 1, changed...)
	later.remembers("the one before", false, 1, asked...)
}

// Which of its tokens were imported by the run that asks, a page does not tell.
func TestPagePriors_NotToTheRunThatImported(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.call(imported("a"))
	_, page := b.page(b.run, 1, ask("a")...)
	b.record(Batch{Pages: []Page{*page}})
	if got := b.remembers("to the same run", false, 1, ask("a")...); got[0].RunID != b.run {
		t.Errorf("got %+v, want that run %d imported it", got[0], b.run)
	}
	if priors, page := b.page(0, 1, ask("a")...); page != nil || priors[0].Outcome != Imported {
		t.Errorf("without a run: got %+v and %+v, want it remembered", priors, page)
	}
	b.takeOver("second").remembers("to the next run", true, 1, ask("a")...)
}

// Whatever changes or removes what is known of a token has all pages forgotten, whoever
// does it; what is only new does not.
func TestPagePriors_ForgetsWhatChanges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(b *bench)
		want   bool
	}{
		{"nothing", func(b *bench) { b.record(Batch{}) }, true},
		{"a new token is imported", func(b *bench) { b.call(imported("new")) }, true},
		{"a call is withdrawn", func(b *bench) {
			in := intent(imported("a"))
			b.record(Batch{Intents: []Intent{in}})
			b.record(Batch{Answers: []Answer{{Call: in.ID}}})
		}, true},
		{"a new row is invalid", func(b *bench) {
			b.record(Batch{Locals: []Local{{Key: "new", Outcome: Invalid, Reason: "missing_subject"}}})
		}, true},
		{"another migration's token changes", func(b *bench) {
			o := begin(b.T, b.Store, "other", "first")
			o.call(imported("a"))
			o.call(refused("a"))
		}, true},
		{"a token is imported again", func(b *bench) { b.call(known(imported("a"))) }, false},
		{"a token that nobody told of is imported again", func(b *bench) { b.call(imported("a")) }, false},
		{"a token is refused", func(b *bench) { b.call(known(refused("b"))) }, false},
		{"a row is left out", func(b *bench) {
			b.record(Batch{Locals: []Local{{Key: "a", Outcome: Skipped, Reason: "expired"}}})
		}, false},
		{"a call is settled", func(b *bench) {
			in := intent(imported("a"))
			b.record(Batch{Intents: []Intent{in}})
			b.exec(`UPDATE {schema}.calls SET settle_after = clock_timestamp() - interval '1 second'`)
			settle(b, in)
		}, false},
		{"somebody changes a row", func(b *bench) {
			b.exec(`UPDATE {schema}.tokens SET outcome = 'failed' WHERE key = 'b'`)
		}, false},
		{"somebody removes a row", func(b *bench) { b.exec(`DELETE FROM {schema}.tokens WHERE key = 'a'`) }, false},
		{"somebody removes all rows", func(b *bench) { b.exec(`TRUNCATE {schema}.tokens`) }, false},
		{"the schema has another name", func(b *bench) {
			b.exec(`ALTER SCHEMA {schema} RENAME TO renamed`)
			b.exec(`UPDATE renamed.tokens SET outcome = 'failed' WHERE key = 'b'`)
			b.exec(`ALTER SCHEMA renamed RENAME TO {schema}`)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := remembering(t, newStore(t))
			asked := ask("a", "b", "c", "d")
			_, before := b.page(0, 2, asked...) // written after the change
			c.change(b)
			want, err := b.Priors(t.Context(), b.lease.Migration, asked)
			must(t, err)
			later := b.takeOver("third")
			if got := later.remembers("the page", c.want, 1, asked...); !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			later.record(Batch{Pages: []Page{*before}})
			later.remembers("a page that was looked up before", c.want, 2, asked...)
		})
	}
}

// settle settles the call of an intent.
func settle(b *bench, in Intent) {
	b.Helper()
	later := b.takeOver("settler")
	gone, err := later.Settle(b.Context(), later.lease, later.run, []uuid.UUID{in.ID})
	if err != nil || len(gone) != 1 {
		b.Fatalf("Settle: got %v, %v", gone, err)
	}
}

// known is the ending of a token that has a row.
func known(e Ending) Ending {
	e.Known = true
	return e
}

// Who has lost the lease remembers nothing.
func TestRecord_WritesNoPagesWithoutTheLease(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.call(imported("a"))
	_, page := b.page(0, 1, ask("a")...)
	later := b.takeOver("second")
	if out := b.record(Batch{Pages: []Page{*page}}); !out.LeaseLost {
		t.Errorf("got %+v, want LeaseLost", out)
	}
	later.remembers("a page of who lost the lease", false, 1, ask("a")...)
}

// inTransaction runs a statement in a transaction that stays open until the returned
// function commits it.
func (b *bench) inTransaction(sql string) (commit func()) {
	b.Helper()
	tx, err := b.pool.Begin(b.Context())
	must(b.T, err)
	b.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	_, err = tx.Exec(b.Context(), b.in(sql))
	must(b.T, err)
	return func() { b.Helper(); must(b.T, tx.Commit(b.Context())) }
}

// A change between the look at the revision and that at the tokens makes a page
// worthless.
func TestPagePriors_LooksAtTheRevisionFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.call(imported("a"))
	tx, err := b.pool.Begin(t.Context())
	must(t, err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = tx.Exec(t.Context(), b.in(`LOCK TABLE {schema}.tokens IN ACCESS EXCLUSIVE MODE`))
	must(t, err)
	pages := make(chan *Page, 1)
	go func() {
		_, page, _ := b.PagePriors(context.Background(), b.lease.Migration, 0, 0, 1, ask("a"))
		pages <- page
	}()
	b.untilWaits()
	_, err = tx.Exec(t.Context(), b.in(`UPDATE {schema}.tokens SET outcome = 'failed'`))
	must(t, err)
	must(t, tx.Commit(t.Context()))
	page := <-pages
	if page == nil {
		t.Fatal("nothing is to be remembered")
	}
	page.Rest = []int32{} // as it would be if the tokens had been looked at before
	b.record(Batch{Pages: []Page{*page}})
	if _, page := b.page(0, 1, ask("a")...); page == nil {
		t.Error("a page is remembered that changed while it was looked up")
	}
}

// untilWaits returns when something waits for a lock.
func (b *bench) untilWaits() {
	b.Helper()
	for waits := false; !waits; {
		must(b.T, b.pool.QueryRow(b.Context(), `
			SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')
			FROM pg_sleep(0.01)`).Scan(&waits))
	}
}

// Where a key ends is part of a page's digest.
func TestDigest_TellsKeysApart(t *testing.T) {
	t.Parallel()
	var x, y Hash
	for i := range x {
		x[i], y[i] = 'x', 'y'
	}
	one := []Asked{{Key: "a" + string(x[:]) + "b", Fingerprint: y}}
	two := []Asked{{Key: "a", Fingerprint: x}, {Key: "b", Fingerprint: y}}
	if digest(one) == digest(two) {
		t.Error("one token has the digest of two others")
	}
}

// Somebody who has changed a token and not committed holds up nobody but who changes
// tokens, too.
func TestStore_GoesOnBesideAnOpenTransaction(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.call(imported("a"))
	commit := b.inTransaction(`UPDATE {schema}.tokens SET detail = 'looked at'`)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := b.Acquire(ctx, b.lease.Migration, 1, 2, "another", nil)
	var divided *ShardsError
	if !errors.As(err, &divided) { // it came as far as that
		t.Errorf("Acquire: got %v, want a *ShardsError", err)
	}
	must(t, b.SetPaused(ctx, b.lease.Migration, true))
	in := intent(imported("b"))
	if _, err := b.Record(ctx, b.lease, b.run, Batch{Intents: []Intent{in}, Locals: []Local{{Key: "c", Outcome: Invalid, Reason: "missing_subject"}}}); err != nil {
		t.Errorf("Record of what is new: %v", err)
	}
	if _, err := b.Record(ctx, b.lease, b.run, Batch{Answers: []Answer{answer(in, imported("b"))}}); err != nil {
		t.Errorf("Record of an answer: %v", err)
	}
	commit()
}

// Whatever stands in pages, no command fails for it, and by a server that may know less
// nothing is remembered.
func TestPagePriors_MindsWhatStandsThere(t *testing.T) {
	t.Parallel()
	for _, rest := range []string{"{99}", "{-1}", "{NULL}", "{NULL,1}", "{4}"} {
		b := remembering(t, newStore(t))
		b.exec(`UPDATE {schema}.pages SET rest = $1::integer[]`, rest)
		if got := b.remembers("rest "+rest, false, 1, ask("a", "b", "c", "d")...); got[0].Outcome != Imported || got[2].Outcome != Failed {
			t.Errorf("rest %s: got %+v", rest, got)
		}
	}
	b := newBench(t)
	b.call(imported("a"))
	_, page := b.page(0, 1, ask("a")...)
	page.Server = page.Server.Add(time.Microsecond)
	b.record(Batch{Pages: []Page{*page}})
	if _, page := b.page(0, 1, ask("a")...); page == nil {
		t.Error("a page is remembered that another server told of")
	}
}

// Without the triggers nothing goes on, since pages would be remembered for good.
func TestReady_RefusesWithoutTriggers(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		`ALTER TABLE {schema}.tokens DISABLE TRIGGER ALL`,
		`ALTER TABLE {schema}.tokens ENABLE REPLICA TRIGGER tokens_deleted`,
		`DROP TRIGGER tokens_truncated ON {schema}.tokens`,
	} {
		s := newStore(t)
		execute(t, s, sql)
		for name, err := range map[string]error{"Ready": s.Ready(t.Context()), "Migrate": s.Migrate(t.Context())} {
			if !errors.Is(err, ErrNoTriggers) || !strings.Contains(err.Error(), "ENABLE TRIGGER USER") {
				t.Errorf("%s after %s: got %v, want ErrNoTriggers", name, sql, err)
			}
		}
	}
}

// A step of the DDL that fails, run statement by statement, leaves no version behind.
func TestDDL_LeavesNoHalfOfAStep(t *testing.T) {
	t.Parallel()
	s := version1(t, localpg.Database(t))
	ddl, err := DDL(testSchema, 1)
	must(t, err)
	conn, err := pgx.Connect(t.Context(), s.pool.Config().ConnString())
	must(t, err)
	defer conn.Close(t.Context())
	broken := strings.Replace(ddl, "CREATE TRIGGER tokens_deleted", "CREATE TRIGGER tokens_updated", 1)
	for _, statement := range splitStatements(broken) {
		_, _ = conn.Exec(t.Context(), statement) // as psql goes on
	}
	if err := s.Ready(t.Context()); !errors.Is(err, ErrOlderSchema) {
		t.Errorf("got %v, want ErrOlderSchema", err)
	}
}

// splitStatements cuts DDL where psql does.
func splitStatements(ddl string) (list []string) {
	inside := false // of a function's body
	var b strings.Builder
	for line := range strings.Lines(ddl) {
		b.WriteString(line)
		if strings.Count(line, "$tokenmigrate$") == 1 {
			inside = !inside
		}
		code, _, _ := strings.Cut(line, "--")
		if !inside && strings.HasSuffix(strings.TrimSpace(code), ";") {
			list = append(list, b.String())
			b.Reset()
		}
	}
	return list
}

// A key that is sent for an identity that another was imported for supersedes it from
// the intent on, and what is imported again is superseded no more.
func TestRecord_NotesWhatIsSuperseded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rival := func(key string, e Ending) Ending {
		e.Identity, e.Others = hash("shared"), 1
		return e
	}
	first := imported("a")
	first.Identity = hash("shared")
	b.call(first, imported("z"))
	superseded := func(what string, want ...string) {
		t.Helper()
		equal(t, what, lines(t, b.Store, `SELECT key FROM {schema}.tokens WHERE superseded ORDER BY key`), want...)
	}
	_, page := b.page(0, 1, ask("a")...)
	b.record(Batch{Pages: []Page{*page}})

	second := rival("b", imported("b"))
	in := intent(second)
	b.record(Batch{Intents: []Intent{in}})
	superseded("while the call is under way", "a")
	if priors, page := b.page(0, 1, ask("a")...); page == nil || !slices.Equal(page.Rest, []int32{0}) || !priors[0].Superseded || priors[0].Imported != hash("fa") {
		t.Errorf("got %+v and the page %+v, want a token that is superseded and not settled", priors, page)
	}
	b.record(Batch{Answers: []Answer{answer(in, second)}})
	superseded("after the answer", "a")
	owners, err := b.Owners(t.Context(), b.lease.Migration, []Hash{hash("shared")})
	must(t, err)
	equal(t, "owners", owners.Sent[hash("shared")], "b", "a")

	unwritten := exclusive(rival("c", imported("c")))
	if out := b.record(Batch{Intents: []Intent{unwritten}}); len(out.Claimed[unwritten.ID]) != 1 {
		t.Fatalf("got %+v, want the intent to be claimed", out)
	}
	superseded("after an intent that was not written", "a")
	b.call(rival("a", known(imported("a"))))
	superseded("once the first is imported again", "b")
	no := rival("b", known(refused("b")))
	b.call(no)
	superseded("after an intent whose token is refused", "a", "b")
}

// version1 makes the tables of version 1, in which token a of migration 1 was imported.
func version1(t *testing.T, url string) *Store {
	t.Helper()
	s := openStore(t, url, testSchema)
	all, err := steps()
	must(t, err)
	simple(t, url, s.in("CREATE SCHEMA {schema};"+all[0]))
	old, fa := pgx.Identifier{testSchema}.Sanitize(), fmt.Sprintf("%x", hash("fa"))
	simple(t, url, `INSERT INTO `+old+`.migrations (name, fingerprint_key, target) VALUES ('acme-slack', 'key', '{"team": "acme"}');
		INSERT INTO `+old+`.tokens (migration_id, key, outcome, fingerprint, imported_fingerprint, run_id, updated_at)
		VALUES (1, 'a', 'imported', decode('`+fa+`', 'hex'), decode('`+fa+`', 'hex'), 1, now())`)
	if err := s.Ready(t.Context()); !errors.Is(err, ErrOlderSchema) {
		t.Errorf("Ready: got %v, want ErrOlderSchema", err)
	}
	return s
}

// A checkpoint of the version before pages goes on with all that it knows.
func TestMigrate_FromVersion1(t *testing.T) {
	t.Parallel()
	s := version1(t, localpg.Database(t))
	must(t, s.Migrate(t.Context()))
	goesOn(t, s)
}

// Likewise where a DBA has to upgrade it, as the error says.
func TestDDL_UpgradesForARoleThatMayNot(t *testing.T) {
	t.Parallel()
	role, url := newRole(t), localpg.Database(t)
	version1(t, url)
	grant := `GRANT USAGE ON SCHEMA tokenmigrate TO ` + role + `; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tokenmigrate TO ` + role
	simple(t, url, grant)
	s := openAs(t, url, role, testSchema)
	const remedy = "run what `tokenmigrate checkpoint ddl --from 1` prints"
	if err := s.Migrate(t.Context()); pgerr.CodeOf(err) != "42501" || !strings.Contains(err.Error(), remedy) {
		t.Errorf("Migrate: got %v, want a refusal that says %q", err, remedy)
	}
	missing, err := s.MissingPrivileges(t.Context(), s.Ready(t.Context()))
	if err != nil || len(missing) != 1 || !strings.Contains(missing[0], remedy) {
		t.Errorf("MissingPrivileges: got %q, %v, want one sentence that says %q", missing, err, remedy)
	}
	ddl, err := DDL(testSchema, 1)
	must(t, err)
	simple(t, url, ddl+grant)
	must(t, s.Migrate(t.Context()))
	goesOn(t, s)
	if _, err := DDL(testSchema, 3); err == nil || !strings.Contains(err.Error(), "no version 3") {
		t.Errorf("got %v, want an error that there is no version 3", err)
	}
}

// goesOn fails unless what version1 left is known, and pages are remembered and forgotten.
func goesOn(t *testing.T, s *Store) {
	t.Helper()
	must(t, s.Ready(t.Context()))
	b := begin(t, s, "acme-slack", "second")
	_, page := b.page(0, 1, ask("a")...)
	if page == nil || len(page.Rest) != 0 {
		t.Fatalf("got %+v, want a settled page", page)
	}
	b.record(Batch{Pages: []Page{*page}})
	b.run++
	b.remembers("after the upgrade", true, 1, ask("a")...)
	b.exec(`UPDATE {schema}.tokens SET outcome = 'failed'`)
	b.remembers("after a change", false, 1, ask("a")...)
}
