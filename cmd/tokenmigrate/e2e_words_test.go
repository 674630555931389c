package main

import (
	"strings"
	"testing"

	"tokenmigrate/migrate/connect/sandbox"
)

// What ends a run is told in one sentence, with what to do.
func TestRun_TellsRemedies(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(3)
	r.env["VERCEL_TOKEN"] = "vca_anotherCredential9876543210"
	p := r.must(4, "run")
	if said := p.stderr.String(); !strings.Contains(said, "is not authorized; give destination.token a credential that may import") {
		t.Errorf("a refused credential: it does not say what to do\n%s", p.said())
	}
	r = newRig(t, sandbox.Options{}).fill(3).with("send.outage_wait", "1s")
	r.endpoint.Close()
	p = r.must(5, "run")
	if said := p.stderr.String(); !strings.Contains(said, "; see destination.url, and whether this machine reaches it (network, proxy), then run again") {
		t.Errorf("an endpoint that is down: it does not say what to do\n%s", p.said())
	}
}
