package main

import (
	"strings"
	"testing"

	"tokenmigrate/source/stores"
)

// Where no provider is named, the example's comment says why.
func TestStarter_SaysWhyNoProviderIsNamed(t *testing.T) {
	t.Parallel()
	tokens := func(p ...stores.ProviderCount) stores.Counts {
		return stores.Counts{Of: 3, Rows: 3, Exact: true, ByProvider: true, Providers: p}
	}
	for _, c := range []struct {
		name   string
		counts stores.Counts
		want   []string
	}{
		{"no rows", stores.Counts{Exact: true, ByProvider: true}, []string{"No tokens were seen", "slack: scl_"}},
		{"not counted", stores.Counts{Rows: 1_000_000}, []string{"Providers could not be counted", "slack: scl_"}},
		{"untold", tokens(stores.ProviderCount{Untold: true, Rows: 3, Tokens: 3}), []string{"does not look like providers", "slack: scl_", "# 3 tokens of providers that are not told"}},
		{"some untold", tokens(stores.ProviderCount{Provider: "github", Rows: 1, Tokens: 1}, stores.ProviderCount{Untold: true, Rows: 2, Tokens: 2}),
			[]string{"github: scl_", "# 2 tokens of providers that are not told"}},
		{"without", tokens(stores.ProviderCount{Rows: 3, Tokens: 3}), []string{"connector: scl_", "# 3 tokens"}},
	} {
		var f starter
		f.destination(c.counts)
		for _, want := range c.want {
			if !strings.Contains(f.String(), want) {
				t.Errorf("%s: got no %q in\n%s", c.name, want, f.String())
			}
		}
	}
}
