package cipher

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"testing"

	"tokenmigrate/migrate/connect"
)

func init() {
	open := func(keys []string) (*Laravel, error) { return NewLaravel(secretList(keys)...) }
	other := func([]string) []string {
		return []string{"base64:bm90LXRoZS1rZXktbm90LXRoZS1rZXktbm90LXRoZS0=", "base64:bm90LXRoZS1rZXktbm90LQ=="}
	}
	sealed := func(doc string) Value { return text(base64.StdEncoding.EncodeToString([]byte(doc))) }
	formats = append(formats, format{
		name:  "laravel",
		known: slices.Concat(answers("laravel-10", open, other), answers("laravel-8", open, other), sharedLaravel()),
		damaged: []Value{
			text("eyJpdiI6"), text("eyJpdiI6ImxONHlQZUpuSWh1SlZxQ1hEd1pwV3c9PSIsInZhbHVl"), text("eyJpdiI6!"),
			sealed(`{"iv":"","value":""}`), sealed(`{"iv":"!","value":"AAAA"}`), sealed(`{"iv":"AAAAAAAAAAAAAAAA","value":"AAAA"}`),
			sealed(`{"value":"AAAA","iv":"AAAAAAAAAAAAAAAA","tag":"AAAA","mac":""}`), sealed(`{"iv":1,"value":2}`),
			sealed(`{"iv":"AAAAAAAAAAAAAAAAAAAAAA==","value":"AAAA","mac":"xyz"}`),
		},
		plain: []Value{text("eyJhbGciOiJIUzI1NiJ9"), sealed(`{"a":1}`), sealed(`{"value":"x"}`), sealed(`[]`)},
		words: []string{"base64"},
	})
}

// sharedLaravel is an answer made by Laravel 13 (laravel/framework bd71b45fbb7e).
func sharedLaravel() []known {
	const key = "base64:BRAbJjE8R1JdaHN+iZSfqrXAy9bh7PcCDRgjLjlET1o="
	open := func(key string) func() (Cipher, error) {
		return func() (Cipher, error) { return NewLaravel(connect.NewSecret(key)) }
	}
	return []known{{
		name:  "Laravel 13",
		value: text("eyJpdiI6ImxONHlQZUpuSWh1SlZxQ1hEd1pwV3c9PSIsInZhbHVlIjoiaWh4dGI2ZHhIaVAvOWx2ZkxlNnQ0ODJrWlIrOXJIQkgybUtVNC9nU0ZaND0iLCJtYWMiOiJkY2NiZWU5ZDE1OWVhMmVkYTJiMGYyM2UwNTI0ODU0ZjczZDIyMTQzMjlhMTE0ZDE1NGZjMDg1ZmI3ZGNiNGIzIiwidGFnIjoiIn0="),
		want:  "ya29.laravel-access", secrets: []string{key}, authenticated: true,
		right: open(key), wrong: open("thirty-two bytes of another key."), none: open(""),
	}}
}

func FuzzLaravel(f *testing.F) { fuzz(f, "laravel") }

// Payloads of old versions have no tag, and escape slashes.
func TestLaravel_OpensOldPayloads(t *testing.T) {
	k := sharedLaravel()[0]
	c := must(t, k.right)
	doc, err := base64.StdEncoding.DecodeString(string(k.value.Data))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]string
	if err := json.Unmarshal(doc, &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, "tag")
	old, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	old = bytes.ReplaceAll(old, []byte("/"), []byte(`\/`))
	checkOpens(t, c, text(base64.StdEncoding.EncodeToString(old)), k.want)
}

func TestNewLaravel_TellsKeysThatCannotBeOne(t *testing.T) {
	for _, key := range []string{"base64:", "base64:AAAA", "base64:!!!!", "too short", "base64:BRAbJjE8R1JdaHN+iZSfqrXAy9bh7PcCDRgjLjlET1o=,nope"} {
		_, err := NewLaravel(connect.NewSecret(key))
		checkKeyError(t, err, "app_key", key)
	}
}

func TestPHPUnserialize(t *testing.T) {
	for in, want := range map[string]string{
		`s:5:"ya29.";`: "ya29.", `s:3:"é.";`: "é.", `s:0:"";`: "", `N;`: "", `b:1;`: "true", `i:-5;`: "-5", `d:0.5;`: "0.5",
		`a:0:{}`: "[]", `a:2:{i:0;s:1:"x";i:1;i:2;}`: `["x",2]`, `a:1:{s:1:"k";a:1:{i:5;N;}}`: `{"k":{"5":null}}`,
		// not serialised, or not whole
		`s:6:"ya29.";`: `s:6:"ya29.";`, `s:5:"ya29.";x`: `s:5:"ya29.";x`, `s:5:"ya29."`: `s:5:"ya29."`, "ya29.": "ya29.", "": "",
		`a:9:{i:0;N;}`: `a:9:{i:0;N;}`, `s:99999999999999999999:"";`: `s:99999999999999999999:"";`, `O:8:"stdClass":0:{}`: `O:8:"stdClass":0:{}`,
		`b:2;`: `b:2;`, `i:x;`: `i:x;`, `a:-1:{}`: `a:-1:{}`,
	} {
		if got := string(phpUnserialize([]byte(in))); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}
