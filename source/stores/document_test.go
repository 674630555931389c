package stores

import (
	"strings"
	"testing"

	"tokenmigrate/migrate/connect"
)

func TestDocument_Reads(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":"x"}`: "x", `"{\"a\":\"x\"}"`: "x", `"\"{\\\"a\\\":\\\"x\\\"}\""`: "x", ` {"a":12345678901234567890} `: "12345678901234567890",
		``: "", `null`: "", `"null"`: "", `{"a":null}`: "", `{"a":["x"]}`: "", `{"a":""}`: "",
	} {
		d, ok := parseDocument([]byte(text))
		if got := d.text("a"); !ok || got != want {
			t.Errorf("%s: got %q, %v, want %q", text, got, ok, want)
		}
	}
	deep := strings.Repeat(`[`, 100_000)
	for _, text := range []string{`[1]`, `1`, `true`, `{"a":`, `{} {}`, `{}x`, `"x"`, "\xff", deep} {
		if d, ok := parseDocument([]byte(text)); ok {
			t.Errorf("%.20s: got %v, want none", text, d)
		}
	}
}

func TestSeconds_OfText(t *testing.T) {
	for text, want := range map[string]int64{
		"3600": 3600, " 3600.9 ": 3600, "1.7e9": 1_700_000_000, "0": 0, "-1": 0, "": 0, "never": 0, "NaN": 0, "inf": 0, "1e300": 0, "0.5": 0,
	} {
		if got := seconds(text); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}

func TestScopesSQL_ByProvider(t *testing.T) {
	for given, want := range map[string]string{
		"":                      "",
		" ; ":                   "",
		"a b":                   "'a b'::text AS scopes",
		"google=a b; x = o'k ;": "CASE p WHEN 'google' THEN 'a b' WHEN 'x' THEN 'o''k' ELSE NULL END AS scopes",
		"google=a;b":            "CASE p WHEN 'google' THEN 'a' ELSE 'b' END AS scopes",
		"google=":               "CASE p WHEN 'google' THEN '' ELSE NULL END AS scopes",
	} {
		if got := scopesSQL(Params{"scopes": given}, "p"); got != want {
			t.Errorf("%q: got %s, want %s", given, got, want)
		}
	}
}

func TestKeys_MayHoldCommas(t *testing.T) {
	texts := func(k Keys, of func(Keys) []connect.Secret) string {
		var list []string
		for _, key := range of(k) {
			list = append(list, key.Reveal())
		}
		return strings.Join(list, "|")
	}
	any := func(k Keys) []connect.Secret { return k.anyText("k") }
	five := func(k Keys) []connect.Secret { return k.ofLength("k", 5) }
	for _, c := range []struct {
		given string
		of    func(Keys) []connect.Secret
		want  string
	}{
		{"", any, ""}, {"a", any, "a"}, {"a, b", any, "a|b|a, b"},
		{"", five, ""}, {"ab,cd", five, "ab,cd"}, {"äbcde", five, "äbcde"}, {"abcde, fghij", five, "abcde|fghij"}, {"abc", five, "abc"},
	} {
		if got := texts(Keys{"k": secret(c.given)}, c.of); got != c.want {
			t.Errorf("%q: got %q, want %q", c.given, got, c.want)
		}
	}
}
