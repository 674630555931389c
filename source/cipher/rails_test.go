package cipher

import (
	"bytes"
	"compress/zlib"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"

	"tokenmigrate/migrate/connect"
)

type railsKeys struct {
	Primary       []string `json:"primary"`
	Deterministic []string `json:"deterministic"`
	Previous      []string `json:"previous"`
	Salt          []string `json:"salt"`
	Raw           []string `json:"raw"`
}

// railsCiphers are those that openRails made, by their keys: deriving these for
// each test again would take minutes.
var railsCiphers sync.Map

func openRails(k railsKeys) (*Rails, error) {
	id := strings.Join(stringsIn(k), "\x00") + strconv.Itoa(len(k.Raw)) + strconv.Itoa(len(k.Salt))
	if c, made := railsCiphers.Load(id); made {
		return c.(*Rails), nil
	}
	c, err := NewRails(RailsKeys{
		Primary: secretList(k.Primary), Deterministic: secretList(k.Deterministic), Previous: secretList(k.Previous),
		Salts: secretList(k.Salt), Raw: secretList(k.Raw),
	})
	if err == nil {
		railsCiphers.Store(id, c)
	}
	return c, err
}

func init() {
	other := func(railsKeys) railsKeys {
		return railsKeys{Primary: []string{"none-of-them-1"}, Salt: []string{"some-other-salt"}, Raw: []string{strings.Repeat("5a", 32)}}
	}
	formats = append(formats, format{
		name: "rails", known: append(answers("rails", openRails, other), sharedRails(other)),
		damaged: []Value{
			text(`{"p":"`), text(`{"p":"P6es","h":`), text(`{"p":"P6es","h":{}}`), text(`{"p":null,"h":{}}`), text(`{"p":1,"h":2}`),
			text(`{"h":{"iv":"!","at":"/VH08mkNaMIa7QDZqI1W6w=="},"p":"AAAA"}`), text(`{"p":"AAAA","h":{"iv":"AAAA","at":"AAAA"}}`),
			text(`{"p":"AAAA","h":{"iv":"UQpWnvfn7ZvEh7Uu","at":"/VH08mkNaMIa7QDZqI1W6w==","k":{}}}`),
			text(`{"p":"AAAA","h":{"iv":"UQpWnvfn7ZvEh7Uu","at":"/VH08mkNaMIa7QDZqI1W6w==","k":{"p":"AAAA","h":{}}}}`),
			text(`{"p":"AAAA","h":{"iv":"UQpWnvfn7ZvEh7Uu","at":"/VH08mkNaMIa7QDZqI1W6w==","i":"!"}}`),
		},
		plain: []Value{text(`{"access_token":"ya29.plain"}`), text(`{"p":1}`), text("{"), text("[1]"), text("null"), text(`{"P":"x","H":{}}`)},
		words: []string{"primary", "deterministic"},
	})
}

// sharedRails is an answer made by Rails 7.1.6.
func sharedRails(other func(railsKeys) railsKeys) known {
	keys := railsKeys{Primary: []string{"primary-key-0123456789abcdef0123"}, Salt: []string{"key-derivation-salt-0123456789ab"}}
	with := func(k railsKeys) func() (Cipher, error) { return func() (Cipher, error) { return openRails(k) } }
	return known{
		name: "Rails 7.1", want: "ya29.rails-access", authenticated: true, secrets: stringsIn(keys),
		value: text(`{"p":"P6esttWVRSbY1caW8MZs7bU=","h":{"iv":"UQpWnvfn7ZvEh7Uu","at":"/VH08mkNaMIa7QDZqI1W6w=="}}`),
		right: with(keys), wrong: with(other(keys)), none: with(railsKeys{}),
	}
}

func FuzzRails(f *testing.F) { fuzz(f, "rails") }

func TestNewRails_TellsKeysThatCannotBeOne(t *testing.T) {
	_, err := NewRails(RailsKeys{Primary: []connect.Secret{connect.NewSecret("a-primary-key")}})
	checkKeyError(t, err, "key_derivation_salt", "a-primary-key")
	_, err = NewRails(RailsKeys{Raw: []connect.Secret{connect.NewSecret("too-short-a-key")}})
	checkKeyError(t, err, "raw_key", "too-short-a-key")
}

// A value that says it is compressed, and is not, and a bomb.
func TestInflate_Bounds(t *testing.T) {
	if _, err := inflate([]byte("plain text")); err == nil {
		t.Error("no zlib: got no error, want ErrFormat")
	}
	if _, err := inflate(deflated(t, strings.Repeat("\x00", inflateLimit+1))); err == nil {
		t.Error("more than the limit: got no error, want ErrFormat")
	}
	if got, err := inflate(deflated(t, strings.Repeat("x", 1<<20))); err != nil || len(got) != 1<<20 {
		t.Errorf("1 MiB: got %d bytes, error %v", len(got), err)
	}
}

func deflated(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, err := w.Write([]byte(text))
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
