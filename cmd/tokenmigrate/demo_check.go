package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/migrate/connect/sandbox"
)

// demoEvidence is all that the demo judges the migration by: its own store, the
// tables of the checkpoint as anybody may read them, and the endpoint's audit.
type demoEvidence struct {
	accounts    []demoAccount
	ended       map[string]demoEnding // by key: the checkpoint's tokens
	openCalls   int                   // calls of which the checkpoint awaits an answer
	recorded    map[string]bool       // keys that were recorded as imported when the run was killed
	interrupted map[string]bool       // keys of the calls whose answers the killed run had not recorded
	seenAtKill  int                   // number of the last call that the endpoint had seen by then
	calls       []sandbox.Call        // by number
	held        map[sandbox.Identity]sandbox.Import
}

// demoEnding is how a token ended, as the checkpoint tells it.
type demoEnding struct{ outcome, reason string }

// demoFinding is one promise, and what contradicts it.
type demoFinding struct {
	promise  string
	problems []string // none: it holds
}

// verify compares the evidence with what the program promises.
func (e *demoEvidence) verify() []demoFinding {
	byHash := make(map[[32]byte]*demoAccount, len(e.accounts))
	for i := range e.accounts {
		if e.accounts[i].access != "" {
			byHash[e.accounts[i].accessHash()] = &e.accounts[i]
		}
	}
	return []demoFinding{e.verifyEndings(), e.verifyHeld(), e.verifyRecorded(byHash), e.verifyRepeated(byHash)}
}

// verifyEndings: every row has the outcome that it must have.
func (e *demoEvidence) verifyEndings() demoFinding {
	f := demoFinding{promise: fmt.Sprintf("each of the %d rows has the one outcome it must have, and no call is left in doubt", len(e.accounts))}
	for i := range e.accounts {
		a := &e.accounts[i]
		want := demoEnding{demoKinds[a.kind].outcome, demoKinds[a.kind].reason}
		if got, ok := e.ended[a.key()]; !ok || got != want {
			f.problem("row %s is %s, not %s", a.key(), got, want)
		}
	}
	if n := len(e.ended); n != len(e.accounts) {
		f.problem("the checkpoint knows %d rows, not %d", n, len(e.accounts))
	}
	if e.openCalls != 0 {
		f.problem("the checkpoint awaits the answers of %d calls", e.openCalls)
	}
	return f
}

// verifyHeld: the endpoint holds what the checkpoint calls imported, each token
// under its own user, and nothing else.
func (e *demoEvidence) verifyHeld() demoFinding {
	var f demoFinding
	importable, missing := 0, 0
	for i := range e.accounts {
		a := &e.accounts[i]
		if !a.importable() {
			continue
		}
		importable++
		held, ok := e.held[a.identity()]
		switch {
		case !ok:
			missing++
			f.problem("the token of row %s is not with the endpoint", a.key())
		case held.AccessTokenSHA256 != a.accessHash() || held.RefreshTokenSHA256 != a.refreshHash():
			f.problem("the endpoint holds other credentials for row %s", a.key())
		}
	}
	if more := len(e.held) - (importable - missing); more > 0 {
		f.problem("the endpoint holds %d tokens that nobody should have sent", more)
	}
	imported := 0
	for _, ending := range e.ended {
		if ending.outcome == "imported" {
			imported++
		}
	}
	if imported != len(e.held) {
		f.problem("the checkpoint calls %d tokens imported, the endpoint holds %d", imported, len(e.held))
	}
	f.promise = fmt.Sprintf("the endpoint holds %d tokens, the very ones that the checkpoint calls imported, credentials included", len(e.held))
	return f
}

// verifyRecorded: what had an answer on record was never sent again, by whichever
// run.
func (e *demoEvidence) verifyRecorded(byHash map[[32]byte]*demoAccount) demoFinding {
	f := demoFinding{promise: fmt.Sprintf("no token with a recorded answer was sent again, %d of them from before the kill", len(e.recorded))}
	answered := make(map[string]bool)
	for _, c := range e.calls {
		for i := range c.Tokens {
			t := &c.Tokens[i]
			a := byHash[t.AccessTokenSHA256]
			if a == nil {
				f.problem("call %d carried a token that is in no row", c.Number)
				continue
			}
			key := a.key()
			switch {
			case e.recorded[key] && c.Number > e.seenAtKill:
				f.problem("row %s was recorded as imported, and call %d carried it again", key, c.Number)
			case answered[key] && !e.interrupted[key]:
				f.problem("row %s had been answered when call %d carried it again", key, c.Number)
			}
			answered[key] = answered[key] || t.Answered != sandbox.NoVerdict
		}
	}
	return f
}

// verifyRepeated: what was imported twice was so only because an answer never
// came.
func (e *demoEvidence) verifyRepeated(byHash map[[32]byte]*demoAccount) demoFinding {
	var f demoFinding
	times, lost := make(map[string]int), make(map[string]bool)
	for _, c := range e.calls {
		for i := range c.Tokens {
			t := &c.Tokens[i]
			a := byHash[t.AccessTokenSHA256]
			if a == nil || !t.Imported {
				continue
			}
			times[a.key()]++
			if t.Answered == sandbox.NoVerdict {
				lost[a.key()] = true
			}
		}
	}
	twice, killed := 0, 0
	for key, n := range times {
		if n < 2 {
			continue
		}
		twice++
		switch {
		case e.interrupted[key]:
			killed++
		case !lost[key]:
			f.problem("row %s was imported %d times, though no answer to it was lost", key, n)
		}
	}
	f.promise = fmt.Sprintf("%d tokens were imported twice, each because its answer was lost: %d with the killed run, %d on the wire", twice, killed, twice-killed)
	return f
}

func (f *demoFinding) problem(format string, args ...any) {
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
}

// String returns "failed, rejected".
func (e demoEnding) String() string {
	switch {
	case e.outcome == "":
		return "without an outcome"
	case e.reason == "":
		return e.outcome
	}
	return e.outcome + ", " + e.reason
}

// readCheckpoint fills in what the checkpoint's tables say at the end.
func (e *demoEvidence) readCheckpoint(ctx context.Context, conn *pgx.Conn) error {
	e.ended = make(map[string]demoEnding)
	rows, err := conn.Query(ctx, `SELECT key, outcome, coalesce(reason, '') FROM tokenmigrate.tokens`)
	if err != nil {
		return pgerr.Wrap("read the checkpoint", err)
	}
	var key string
	var ending demoEnding
	if _, err := pgx.ForEachRow(rows, []any{&key, &ending.outcome, &ending.reason}, func() error {
		e.ended[key] = ending
		return nil
	}); err != nil {
		return pgerr.Wrap("read the checkpoint", err)
	}
	err = conn.QueryRow(ctx, `SELECT count(*) FROM tokenmigrate.calls`).Scan(&e.openCalls)
	return pgerr.Wrap("count the checkpoint's calls", err)
}

// readKilled fills in what the killed run has left behind, and returns the
// number of its calls without a recorded answer.
func (e *demoEvidence) readKilled(ctx context.Context, conn *pgx.Conn) (calls int, err error) {
	read := func(query string) (map[string]bool, error) {
		rows, err := conn.Query(ctx, query)
		if err != nil {
			return nil, err
		}
		keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
		set := make(map[string]bool, len(keys))
		for _, key := range keys {
			set[key] = true
		}
		return set, err
	}
	if e.recorded, err = read(`SELECT key FROM tokenmigrate.tokens WHERE outcome = 'imported'`); err != nil {
		return 0, pgerr.Wrap("read the checkpoint after the kill", err)
	}
	if e.interrupted, err = read(`SELECT unnest(keys) FROM tokenmigrate.calls`); err != nil {
		return 0, pgerr.Wrap("read the interrupted calls", err)
	}
	err = conn.QueryRow(ctx, `SELECT count(*) FROM tokenmigrate.calls`).Scan(&calls)
	return calls, pgerr.Wrap("count the interrupted calls", err)
}

// takeAudit fills in what the endpoint saw.
func (e *demoEvidence) takeAudit(audit sandbox.Audit) {
	e.calls, e.held = audit.Calls, audit.Imported
	slices.SortFunc(e.calls, func(a, b sandbox.Call) int { return cmp.Compare(a.Number, b.Number) })
}

// sentKeys returns how many different tokens the calls carried.
func (e *demoEvidence) sentKeys() int {
	sent := make(map[[32]byte]bool)
	for _, c := range e.calls {
		for i := range c.Tokens {
			sent[c.Tokens[i].AccessTokenSHA256] = true
		}
	}
	return len(sent)
}

// faultsPlayed says in words how calls went wrong.
func faultsPlayed(s sandbox.Summary) string {
	names := make([]string, 0, len(s.Faults))
	for name := range s.Faults {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = cmp.Or(demoFaultWords[name], name)
	}
	return strings.Join(names, ", ")
}
