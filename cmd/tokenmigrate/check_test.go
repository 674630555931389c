package main

import (
	"strings"
	"testing"
	"time"

	"tokenmigrate/checkpoint/pgserver"
)

// What a server is like is judged by what is asked of it.
func TestCheck_JudgesServers(t *testing.T) {
	for _, c := range []struct {
		name   string
		server pgserver.Server
		writes bool
		want   status
		says   string
	}{
		{"a source on a standby", pgserver.Server{Standby: true, ReadOnly: true, Lag: 2 * time.Second}, false, statusOK, "a hot standby, 2s behind"},
		{"a source on a late standby", pgserver.Server{Standby: true, ReadOnly: true, Lag: 31 * time.Second}, false, statusWarning, "31s behind"},
		{"a source on a silent standby", pgserver.Server{Standby: true, ReadOnly: true, Lag: -1}, false, statusWarning, "does not tell how far"},
		{"a source that is read-only", pgserver.Server{ReadOnly: true}, false, statusOK, "read-only, which will do"},
		{"a checkpoint on a standby", pgserver.Server{Standby: true, ReadOnly: true}, true, statusFailed, "takes no writes"},
		{"a checkpoint that is read-only", pgserver.Server{ReadOnly: true}, true, statusFailed, "transactions are read-only"},
		{"a checkpoint", pgserver.Server{}, true, statusOK, "takes writes"},
	} {
		checkup := &checkup{cfg: &Config{}, group: groupSource}
		checkup.standby(&c.server, c.writes)
		if f := checkup.findings[0]; f.Status != c.want || !strings.Contains(f.Text, c.says) || (f.Remedy == "") != (c.want == statusOK) {
			t.Errorf("%s: got %+v, want %s and %q", c.name, f, c.want, c.says)
		}
	}
	for _, c := range []struct {
		server pgserver.Server
		want   status
		says   string
	}{
		{pgserver.Server{TLS: "TLS 1.3", Verified: true}, statusOK, "is verified"},
		{pgserver.Server{TLS: "TLS 1.2"}, statusOK, "TLS 1.2; the server's certificate is not verified"},
		{pgserver.Server{Local: true}, statusOK, "no TLS"},
		{pgserver.Server{}, statusWarning, "not encrypted"},
	} {
		checkup := &checkup{cfg: &Config{}, group: groupSource}
		checkup.tls("source", &c.server)
		if f := checkup.findings[0]; f.Status != c.want || !strings.Contains(f.Text, c.says) || (f.Remedy == "") != (c.want == statusOK) {
			t.Errorf("%+v: got %+v, want %s and %q", c.server, f, c.want, c.says)
		}
	}
}

func TestSplitRemedy(t *testing.T) {
	for sentence, want := range map[string][2]string{
		"it is wrong; mend it":                       {"it is wrong", "mend it"},
		"it is wrong (key 3.5). Mend it. Then go on": {"it is wrong (key 3.5)", "Mend it. Then go on"},
		"a.yaml:3: x: it is wrong":                   {"a.yaml:3: x: it is wrong", ""},
	} {
		if text, remedy := splitRemedy(sentence); text != want[0] || remedy != want[1] {
			t.Errorf("%s: got %q and %q, want %q", sentence, text, remedy, want)
		}
	}
}
