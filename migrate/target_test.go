package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"tokenmigrate/checkpoint"
)

// used is how far a migration has come.
type used struct {
	sent     bool
	imported int64
}

func (u used) Used(context.Context, int64) (bool, int64, error) { return u.sent, u.imported, nil }

// The tables that a store was found in are pinned like the configuration; a
// checkpoint that does not know them learns them.
func TestCheckTarget_Tables(t *testing.T) {
	t.Parallel()
	key := []byte("key")
	options := func(tables string) *Options {
		o := &Options{Migration: "acme", Log: zerolog.Nop(), Target: map[string]string{"store": "authjs"}}
		if tables != "" {
			o.Target[TargetTables] = tables
		}
		return o
	}
	for _, c := range []struct {
		was, is string
		changed int
		refused string
	}{
		{"public.accounts", "public.accounts", 0, ""},
		{"public.accounts", "archive.accounts", 1, `another table of the source (was "public.accounts", is "archive.accounts");`},
		{"", "public.accounts", 1, ""},
	} {
		was := checkpoint.Migration{FingerprintKey: key, Target: target(options(c.was), key)}
		changed, err := checkTarget(t.Context(), options(c.is), used{true, 7}, was)
		if len(changed) != c.changed || (err != nil) != (c.refused != "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("from %q to %q: got changed %v, error %v; want %d and %q", c.was, c.is, changed, err, c.changed, c.refused)
		}
	}
}

func TestCheckTarget_RefusesAnotherConfiguration(t *testing.T) {
	t.Parallel()
	o := Options{Migration: "acme", Log: zerolog.Nop(), Target: map[string]string{"store": "authjs", "connectors": "github=scl_1, slack=scl_2", "cipher": ""},
		Hashed: map[string]string{"query": "SELECT 'hush'"}}
	with := func(name, value string) func(*Options) {
		return func(o *Options) {
			o.Target = map[string]string{"store": "authjs", "connectors": "github=scl_1, slack=scl_2", "cipher": ""}
			o.Target[name] = value
		}
	}
	key := []byte("key")
	was := checkpoint.Migration{FingerprintKey: key, Target: target(&o, key)}
	if changed, err := checkTarget(t.Context(), &o, used{true, 7}, was); err != nil || len(changed) > 0 {
		t.Errorf("nothing changed: got changed %v, error %v", changed, err)
	}
	if strings.Contains(fmt.Sprint(was.Target), "hush") {
		t.Errorf("the target %v holds the query's text, want a hash", was.Target)
	}
	for _, c := range []struct {
		name, part string
		change     func(o *Options)
	}{
		{"store", `another source.store (was "authjs", is "other");`, with("store", "other")},
		{"query", "another source.query;", func(o *Options) { o.Hashed = map[string]string{"query": "SELECT 'hush', 2"} }},
		{"cipher", `another source.decrypt (was none, is "node-aes");`, with("cipher", "node-aes")},
		{"one connector", `another destination.connectors (slack was "scl_2", is "scl_3");`, with("connectors", "github=scl_1, slack=scl_3")},
		{"another provider", `another destination.connectors (google was none, is "skip", slack was "scl_2", is none);`, with("connectors", "github=scl_1, google=skip")},
		{"one for all", `(was "github=scl_1, slack=scl_2", is "scl_9")`, with("connectors", "scl_9")},
	} {
		other := o
		c.change(&other)
		changed, err := checkTarget(t.Context(), &other, used{true, 7}, was)
		if len(changed) != 1 || !errors.Is(err, ErrConfig) || !strings.Contains(fmt.Sprint(err), c.part) || strings.Contains(fmt.Sprint(err), "hush") ||
			!strings.Contains(fmt.Sprint(err), "another migration name sends all 7 imported tokens again") {
			t.Errorf("%s: got changed %v, error %v; want ErrConfig with %q and no secret", c.name, changed, err, c.part)
		}
		if changed, err := checkTarget(t.Context(), &other, used{}, was); err != nil || len(changed) != 1 {
			t.Errorf("%s, nothing sent yet: got changed %v, error %v; want no error", c.name, changed, err)
		}
		other.AcceptConfigChange = true
		if changed, err := checkTarget(t.Context(), &other, used{true, 7}, was); err != nil || len(changed) != 1 {
			t.Errorf("%s, accepted: got changed %v, error %v; want no error", c.name, changed, err)
		}
	}
}
