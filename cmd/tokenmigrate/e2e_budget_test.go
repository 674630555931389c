package main

import (
	"fmt"
	"strings"
	"testing"

	"tokenmigrate/migrate/connect/sandbox"
)

// Connectors of very unequal size: of each no call but the last goes out half
// filled, and the report and the checkpoint tell how the budget was spent.
func TestRun_SpendsTheBudgetOnFullChunks(t *testing.T) {
	t.Parallel()
	const chunk = 20
	sizes := []int{1510, 300, 45, 3}
	r := newRig(t, sandbox.Options{}).fill(0).with("send.chunk_tokens", fmt.Sprint(chunk), "source.page_size", "100", "destination.connector", "", "destination.connectors", "{x: skip}")
	total, calls, full := 0, 0, 0
	for i, n := range sizes {
		r.add(total+1, total+n)
		r.exec(`UPDATE accounts SET connector = $1 WHERE id > $2`, fmt.Sprintf("slack/c%d", i), total)
		total, calls, full = total+n, calls+(n+chunk-1)/chunk, full+n/chunk
	}
	// Mixed, as they are in a real table.
	r.exec(`UPDATE accounts SET id = -id`)
	r.exec(`UPDATE accounts SET id = 1 + (-id * 7919) % 1999, subject = 'user-' || 1 + (-id * 7919) % 1999`)

	p := r.must(0, "run")
	partial := map[string]int{}
	for _, c := range r.endpoint.Audit().Calls {
		if len(c.Tokens) < chunk {
			partial[c.Connector]++
		}
	}
	for connector, n := range partial {
		if n > 1 {
			t.Errorf("%s: %d calls were not full, want the last alone", connector, n)
		}
	}
	got := p.readReport().Calls
	if got.Allowed != int64(calls) || got.Made != int64(calls) || got.Full != int64(full) || got.Wasted != 0 {
		t.Errorf("calls: got %+v, want %d allowed and made, %d of them full, none wasted", got, calls, full)
	}
	again := r.must(0, "report", "--report", "-").stdout.String()
	if want := fmt.Sprintf(`"full": %d`, full); !strings.Contains(again, want) {
		t.Errorf("the report from the checkpoint does not say %s", want)
	}
}

// What is put off, halved and not answered is counted as wasted.
func TestRun_CountsWastedCalls(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{RejectSubjects: []string{"user-3"}}).fill(40).with("send.chunk_tokens", "40", "send.concurrency", "1", "policy.max_failed", "1")
	p := r.must(0, "run")
	got := p.readReport().Calls
	// 40, 20, 10, 5, 2 or 3, ... are refused until the bad token stands alone.
	if got.Full != 1 || got.Wasted != got.Split || got.Wasted < 5 || got.Allowed != got.Made {
		t.Errorf("calls: got %+v, want one full, and as many wasted as halved", got)
	}
}
