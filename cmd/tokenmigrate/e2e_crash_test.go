package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// crashRunsVar asks for the long crash suite: so many cases of random moments,
//
//	TOKENMIGRATE_CRASH_RUNS=300 go test -timeout 60m -run TestRun_Crash ./cmd/tokenmigrate
const crashRunsVar = "TOKENMIGRATE_CRASH_RUNS"

// crashRuns returns how many random cases are wanted.
func crashRuns(t *testing.T, short int) int {
	t.Helper()
	text := os.Getenv(crashRunsVar)
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number of runs", crashRunsVar, text)
	}
	return n
}

// crashRows are the rows of a case, crashChunk the tokens of a call in its first
// run, which therefore makes crashCalls.
const (
	crashRows  = 480
	crashChunk = 20
	crashCalls = crashRows / crashChunk
)

// crash is one run that is killed.
type crash struct {
	at    string        // the step, "after_call:3"; empty: at a moment
	after time.Duration // the moment, from the process's start
	sure  bool          // the run gets there
	conf  []string      // of the configuration
}

func (c crash) String() string {
	if c.at != "" {
		return c.at
	}
	return c.after.Round(time.Millisecond).String()
}

// crashCase is a migration whose runs are killed, and the run that ends it.
type crashCase struct {
	name    string
	crashes []crash
	last    []string // the configuration of the run that ends it
	faults  []sandbox.Fault
}

// The shapes that runs of a case have in turn: nothing of what the earlier run
// was sent with may matter to the later one.
var crashShapes = [][]string{
	{"send.chunk_tokens", fmt.Sprint(crashChunk), "source.page_size", "100", "send.concurrency", "3"},
	{"send.chunk_tokens", "7", "source.page_size", "33", "send.concurrency", "1"},
	{"send.chunk_tokens", "50", "source.page_size", "1000", "send.concurrency", "8"},
	{"send.chunk_tokens", "64", "source.page_size", "1", "send.concurrency", "2"},
	{"send.chunk_tokens", "1", "source.page_size", "480", "send.concurrency", "5"},
}

// crashSteps are the steps that the program names.
var crashSteps = []string{"before_intent", "after_intent", "after_call", "before_record", "after_record"}

func TestRun_CrashAtEveryStep(t *testing.T) {
	t.Parallel()
	var cases []crashCase
	for i, step := range crashSteps {
		for j, n := range []int{1, crashCalls / 2, crashCalls} {
			at := fmt.Sprintf("%s:%d", step, n)
			cases = append(cases, crashCase{
				name: at, crashes: []crash{{at: at, sure: true, conf: crashShapes[0]}}, last: crashShapes[1+(3*i+j)%(len(crashShapes)-1)],
			})
		}
	}
	atOnce(t, 8, cases, func(c crashCase) string { return c.name }, runCrashCase)
}

// Several kills of one migration, at moments of the process's life and at
// steps, some while the endpoint loses answers. The seed of a case stands in
// its name.
func TestRun_CrashAtAnyMoment(t *testing.T) {
	t.Parallel()
	n := crashRuns(t, 10)
	base := uint64(1)
	if os.Getenv(crashRunsVar) != "" {
		base = rand.Uint64() >> 32
	}
	var cases []crashCase
	for i := range n {
		cases = append(cases, randomCrashCase(base+uint64(i)))
	}
	atOnce(t, 8, cases, func(c crashCase) string { return c.name }, runCrashCase)
}

// randomCrashCase returns the case of a seed.
func randomCrashCase(seed uint64) crashCase {
	random := rand.New(rand.NewPCG(seed, 0))
	c := crashCase{name: fmt.Sprintf("seed %d", seed)}
	for range 1 + random.IntN(4) {
		k := crash{conf: crashShapes[random.IntN(len(crashShapes)-1)]}
		if random.IntN(3) == 0 {
			k.at = fmt.Sprintf("%s:%d", crashSteps[random.IntN(len(crashSteps))], 1+random.IntN(crashCalls/2))
		} else {
			k.after = time.Duration(random.Int64N(int64(900 * time.Millisecond)))
		}
		c.crashes = append(c.crashes, k)
	}
	c.last = crashShapes[random.IntN(len(crashShapes)-1)]
	if random.IntN(3) == 0 {
		c.faults = []sandbox.Fault{{Kind: sandbox.ResetAfterImport, Share: 0.05}, {Kind: sandbox.Status, Status: 500, Share: 0.05}}
	}
	return c
}

// runCrashCase kills the runs of a case one after the other, lets the last one
// finish, and compares everything.
func runCrashCase(t *testing.T, c crashCase) {
	r := newRig(t, sandbox.Options{Latency: 5 * time.Millisecond, Jitter: 30 * time.Millisecond, Faults: c.faults, Seed: 7}).fill(crashRows)
	r.with("send.timeout", "1s")
	stood := map[string][]string{} // the intents that a kill left, by call
	for _, k := range c.crashes {
		r.with(k.conf...)
		if !r.crash(k) {
			if k.sure {
				t.Fatalf("the run never came to %s", k)
			}
			break // it was through before
		}
		maps.Copy(stood, r.intents())
		r.checkRecorded()
	}
	r.checkRun(c, stood)
	if c.crashes[0].sure { // the random cases look at what comes after, too
		return
	}
	before := r.endpoint.Summary().Calls
	again := r.must(0, "run")
	again.checkCounts(report.Counts{Unchanged: crashRows})
	if got := r.endpoint.Summary().Calls - before; got != 0 {
		t.Errorf("calls of one more run: got %d, want none", got)
	}
}

// crash makes a run that is killed, and reports whether it was: at a late moment
// it may be through. On return the database has ended the dead run's sessions.
func (r *rig) crash(k crash) bool {
	r.Helper()
	var env []string
	if k.at != "" {
		env = []string{"TOKENMIGRATE_CRASH_AT=" + k.at}
	}
	p := r.start(env, "run")
	if k.at == "" {
		timer := time.NewTimer(k.after)
		defer timer.Stop()
		select {
		case <-timer.C:
			p.kill()
		case <-p.ended:
		}
	}
	code := p.wait()
	if !p.killed && code != 0 {
		r.Fatalf("a run to be killed at %s: exit code: got %d\n%s", k, code, p.said())
	}
	r.settled()
	return p.killed
}

// checkRecorded compares what a killed run recorded with what the endpoint knows.
func (r *rig) checkRecorded() {
	r.Helper()
	var bad problems
	audit := r.endpoint.Audit()
	yes := map[string]bool{}
	for _, call := range audit.Calls {
		for _, t := range call.Tokens {
			if t.Answered == sandbox.Yes {
				yes[keyOf(t.Identity)] = true
			}
		}
	}
	for key, t := range r.tokens() {
		if t.Outcome == "imported" && !yes[key] {
			bad.add("after the kill key %s is recorded as imported, and the endpoint never said so", key)
		}
	}
	bad.tell(r.T)
}

// checkRun makes the run that ends a case and compares everything.
func (r *rig) checkRun(c crashCase, stood map[string][]string) {
	r.Helper()
	recorded := map[string]bool{}
	for key, t := range r.tokens() {
		recorded[key] = t.Outcome == "imported"
	}
	before := r.endpoint.Audit()
	r.with(c.last...)
	last := r.must(0, "run")
	after := r.endpoint.Audit()
	r.checkArrived(all)

	var bad problems
	was, is := sends(before), sends(after)
	// A token may be sent once more for each call whose answer was lost: by a
	// kill, which leaves an intent, or by a fault.
	covered := map[string]int{}
	for _, keys := range stood {
		for _, key := range keys {
			covered[key]++
		}
	}
	for _, call := range after.Calls {
		for _, t := range call.Tokens {
			if len(call.Faults) > 0 {
				covered[keyOf(t.Identity)]++
			}
		}
	}
	imported, resent := int64(0), int64(0)
	for key := range r.accounts() {
		if !recorded[key] {
			imported++
		}
		if recorded[key] && is[key] != was[key] {
			bad.add("key %s was recorded as imported, and was sent again", key)
		}
		if is[key] > 1+covered[key] {
			bad.add("key %s was sent %d times, and %d of its calls lost their answers", key, is[key], covered[key])
		}
		if !recorded[key] && is[key]-was[key] > 0 && was[key] > 0 {
			resent++
		}
	}
	bad.tell(r.T)
	rep := last.readReport()
	if want := (report.Counts{Read: crashRows, Imported: imported, Unchanged: crashRows - imported}); rep.Counts != want {
		r.Errorf("counts of the last run:\ngot  %+v\nwant %+v", rep.Counts, want)
	}
	if rep.Totals["imported"] != crashRows || len(rep.Totals) != 1 {
		r.Errorf("totals: got %v, want %d imported", rep.Totals, crashRows)
	}
	wasCalls, wasTokens := accepted(before)
	calls, tokens := accepted(after)
	if rep.Calls.Made != calls-wasCalls || rep.Calls.Tokens != tokens-wasTokens {
		r.Errorf("calls of the last run: its report tells of %d with %d tokens, the endpoint saw %d with %d",
			rep.Calls.Made, rep.Calls.Tokens, calls-wasCalls, tokens-wasTokens)
	}
	if c.faults == nil && rep.Calls.ResentTokens < resent {
		r.Errorf("tokens sent again: the report tells of %d, the endpoint saw %d", rep.Calls.ResentTokens, resent)
	}
	if got := one[int](r.T, r.cp, `SELECT count(*)::int FROM tokenmigrate.leases WHERE holder <> ''`); got != 0 {
		r.Errorf("leases held at the end: got %d, want none", got)
	}
}
