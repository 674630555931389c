package cipher

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// format is what the conformance suite needs to know of one format. Each format's
// test file registers one in an init function:
//
//	func init() {
//		formats = append(formats, format{
//			name:    "better-auth",
//			known:   answers("better-auth", openBetterAuth, otherBetterAuth),
//			damaged: []Value{text("$ba$1$")},
//			plain:   []Value{text("ya29.plain")},
//			words:   []string{"$ba$"},
//		})
//	}
type format struct {
	name    string
	known   []known  // answers; at least one of them 64 KiB of plaintext, one with more than ASCII
	damaged []Value  // sealed, and ErrFormat whatever the keys
	plain   []Value  // not sealed: what a store that encrypts by option holds of old
	words   []string // what error texts may share with values: the names of fields, prefixes
	// keysOptional: what the constructor takes is optional (Windmill's salt), so that
	// a value that needs it is no ErrNoKey.
	keysOptional bool
}

// formats are all formats that the suite tests.
var formats []format

// known is a value with its plaintext, and how to make ciphers for it.
type known struct {
	name  string
	value Value
	want  string
	// A cipher with the keys that open the value, one with other keys of the right
	// shape, one without a key.
	right, wrong, none func() (Cipher, error)
	keys               any      // the K of right, for a format's own tests
	secrets            []string // the keys; no error may show 6 bytes of one
	// authenticated: a changed value never opens to another plaintext.
	authenticated bool
	namesKey      bool // the value names its key: with other keys it is ErrNoKey
	keyless       bool // the value opens with any keys, and with none
	binary        bool // of a bytea column: white space around it is not forgiven
}

// answer is one case of a file testdata/<format>.json; K is the shape of the
// format's keys.
type answer[K any] struct {
	Name string `json:"name"`
	Keys K      `json:"keys"`
	// The value: Data as it is, or DataHex of a bytea column's bytes; either may be
	// an array of pieces, so that no line grows too long to look at.
	Data      lines             `json:"data"`
	DataHex   lines             `json:"data_hex"`
	With      map[string]string `json:"with"`
	Plaintext string            `json:"plaintext"` // "<64 KiB>" in it stands for longToken

	Unauthenticated bool `json:"unauthenticated"`
	NamesKey        bool `json:"names_key"`
	Keyless         bool `json:"keyless"`
}

// longToken is a token of 64 KiB. Files of answers write "<64 KiB>" for it.
var longToken = strings.Repeat("ya29.0123456789-", 4096)

// lines is a text that its file may break into an array of pieces.
type lines string

func (l *lines) UnmarshalJSON(b []byte) error {
	var pieces []string
	if json.Unmarshal(b, &pieces) == nil {
		*l = lines(strings.Join(pieces, ""))
		return nil
	}
	return json.Unmarshal(b, (*string)(l))
}

// answers reads testdata/<file>.json. open makes a cipher of keys; the zero K is
// no key at all. other returns keys of the same shape that do not open what the
// given ones do. It panics where the file cannot be read: tests cannot start.
func answers[K any, C Cipher](file string, open func(K) (C, error), other func(K) K) []known {
	path := filepath.Join("testdata", file+".json")
	b, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	var doc struct {
		Name   string      `json:"name"`
		MadeBy string      `json:"made_by"`
		Cases  []answer[K] `json:"cases"`
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		panic(fmt.Sprintf("%s: %v", path, err))
	}
	with := func(k K) func() (Cipher, error) {
		return func() (Cipher, error) { return open(k) }
	}
	var all []known
	for _, a := range doc.Cases {
		k := known{
			name: a.Name, right: with(a.Keys), wrong: with(other(a.Keys)), none: with(*new(K)),
			value: Value{Data: []byte(a.Data), With: a.With},
			want:  strings.ReplaceAll(a.Plaintext, "<64 KiB>", longToken),
			keys:  a.Keys, secrets: stringsIn(a.Keys),
			authenticated: !a.Unauthenticated, namesKey: a.NamesKey, keyless: a.Keyless,
		}
		if a.DataHex != "" {
			k.binary = true
			if k.value.Data, err = hex.DecodeString(string(a.DataHex)); err != nil {
				panic(fmt.Sprintf("%s: %s: %v", path, a.Name, err))
			}
		}
		all = append(all, k)
	}
	return all
}

// stringsIn returns every string in v but map keys: what could be part of a key.
func stringsIn(v any) []string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var tree any
	if err := json.Unmarshal(b, &tree); err != nil {
		panic(err)
	}
	var found []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			found = append(found, v)
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(tree)
	return found
}

// text returns the value of a text column.
func text(s string) Value { return Value{Data: []byte(s)} }

// registered returns the format of that name.
func registered(t testing.TB, name string) format {
	t.Helper()
	for _, f := range formats {
		if f.name == name {
			return f
		}
	}
	t.Fatalf("no format %q is registered", name)
	return format{}
}

func TestFormats_HaveWhatTheSuiteNeeds(t *testing.T) {
	if len(formats) == 0 {
		t.Fatal("no format is registered")
	}
	for _, f := range formats {
		long := slices.ContainsFunc(f.known, func(k known) bool { return len(k.want) >= 64<<10 })
		wide := slices.ContainsFunc(f.known, func(k known) bool {
			return utf8.ValidString(k.want) && len(k.want) != utf8.RuneCountInString(k.want)
		})
		if !long || !wide {
			t.Errorf("%s: known answers with 64 KiB: %v, with more than ASCII: %v; want both", f.name, long, wide)
		}
	}
}

func TestFormats_OpenKnownAnswers(t *testing.T) {
	eachKnown(t, func(t *testing.T, f format, k known) {
		c := must(t, k.right)
		if !c.Sealed(k.value) {
			t.Error("Sealed is false, want true")
		}
		v := clone(k.value)
		checkOpens(t, c, v, k.want)
		if !bytes.Equal(v.Data, k.value.Data) {
			t.Error("Open changed the value")
		}
		got, _ := c.Open(v)
		clear(v.Data)
		if string(got) != k.want {
			t.Error("the plaintext changed with the value: Open kept it")
		}
		if !k.binary {
			v := clone(k.value)
			v.Data = []byte(" \n" + string(v.Data) + "\r\n\t")
			if !c.Sealed(v) {
				t.Error("Sealed with white space around the value is false, want true")
			}
			checkOpens(t, c, v, k.want)
		}
	})
}

func TestFormats_TellWrongKeys(t *testing.T) {
	eachKnown(t, func(t *testing.T, f format, k known) {
		c := must(t, k.wrong)
		if !c.Sealed(k.value) {
			t.Error("Sealed is false with other keys, want true: the value alone decides")
		}
		if k.keyless {
			checkOpens(t, c, k.value, k.want)
			return
		}
		want := ErrKey
		if k.namesKey {
			want = ErrNoKey
		}
		checkFails(t, f, k, c, k.value, want)
	})
}

func TestFormats_TellMissingKeys(t *testing.T) {
	eachKnown(t, func(t *testing.T, f format, k known) {
		c := must(t, k.none)
		if !c.Sealed(k.value) {
			t.Error("Sealed is false without a key, want true: the value alone decides")
		}
		switch {
		case k.keyless:
			checkOpens(t, c, k.value, k.want)
		case f.keysOptional:
			checkFails(t, f, k, c, k.value, nil)
		default:
			checkFails(t, f, k, c, k.value, ErrNoKey)
		}
	})
}

func TestFormats_TellDamagedValues(t *testing.T) {
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			k := f.known[0]
			for i, v := range f.damaged {
				for _, c := range []Cipher{must(t, k.right), must(t, k.wrong)} {
					if !c.Sealed(v) {
						t.Errorf("damaged value %d: Sealed is false, want true", i)
					}
					k := k
					k.value = v
					checkFails(t, f, k, c, v, ErrFormat)
				}
			}
		})
	}
}

func TestFormats_LeavePlainValuesAlone(t *testing.T) {
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			k := f.known[0]
			plain := append([]Value{{}, text(""), text(" "), text("ya29.a0AfB_by-plain"), text("1//0gplain-é✓"), text("gho_16C7e42F292c6912E7710c838347Ae178B4a")}, f.plain...)
			for i, v := range plain {
				for _, open := range []func() (Cipher, error){k.right, k.none} {
					c := must(t, open)
					if c.Sealed(v) {
						t.Errorf("plain value %d: Sealed is true, want false", i)
					}
					k := k
					k.value = v
					checkFails(t, f, k, c, v, nil)
				}
			}
		})
	}
}

// A changed byte anywhere, in the value or beside it, never opens to another
// plaintext where the format authenticates, and never to rubbish where it does
// not. It may open to the same plaintext: a hex digit's case and the last bits of
// base64 mean nothing.
func TestFormats_TellTamperedValues(t *testing.T) {
	eachKnown(t, func(t *testing.T, f format, k known) {
		c, seen := must(t, k.right), map[string]bool{}
		failed, tried := 0, 0
		try := func(v Value) {
			tried++
			if checkTampered(t, f, k, c, v, seen) {
				failed++
			}
		}
		for i := range positions(len(k.value.Data)) {
			for _, flip := range []byte{0x01, 0x80} {
				v := clone(k.value)
				v.Data[i] ^= flip
				try(v)
			}
		}
		for name, with := range k.value.With {
			for i := range positions(len(with)) {
				v := clone(k.value)
				b := []byte(with)
				b[i] ^= 1
				v.With[name] = string(b)
				try(v)
			}
		}
		if k.authenticated && failed < tried*3/4 {
			t.Errorf("%d of %d tampered values failed to open, want nearly all", failed, tried)
		}
	})
}

func TestFormats_TellTruncatedValues(t *testing.T) {
	eachKnown(t, func(t *testing.T, f format, k known) {
		c, seen := must(t, k.right), map[string]bool{}
		for n := range positions(len(k.value.Data)) {
			v := clone(k.value)
			v.Data = v.Data[:n]
			checkTampered(t, f, k, c, v, seen)
		}
		for name, with := range k.value.With {
			for n := range positions(len(with)) {
				v := clone(k.value)
				v.With[name] = with[:n]
				checkTampered(t, f, k, c, v, seen)
			}
			v := clone(k.value)
			delete(v.With, name)
			checkTampered(t, f, k, c, v, seen)
		}
	})
}

func TestFormats_OpenConcurrently(t *testing.T) {
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			c := must(t, f.known[0].right)
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for _, k := range f.known {
						got, err := c.Open(k.value)
						if err != nil {
							got = nil // other cases may have other keys
						}
						if k.name == f.known[0].name && (err != nil || string(got) != k.want) {
							t.Errorf("%s: got %d bytes, error %v; want the plaintext", k.name, len(got), err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// eachKnown runs test once for each known answer of each format.
func eachKnown(t *testing.T, test func(*testing.T, format, known)) {
	t.Helper()
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			for _, k := range f.known {
				t.Run(k.name, func(t *testing.T) { test(t, f, k) })
			}
		})
	}
}

// must returns open's cipher.
func must(t testing.TB, open func() (Cipher, error)) Cipher {
	t.Helper()
	c, err := open()
	if err != nil {
		t.Fatalf("make the cipher: %v", err)
	}
	return c
}

func clone(v Value) Value {
	c := Value{Data: bytes.Clone(v.Data)}
	for name, with := range v.With {
		if c.With == nil {
			c.With = map[string]string{}
		}
		c.With[name] = with
	}
	return c
}

// positions yields the indexes of n bytes, of long values the ends and a few
// between.
func positions(n int) func(func(int) bool) {
	step := max(1, n/60)
	return func(yield func(int) bool) {
		for i := 0; i < n; i++ {
			if n > 1024 && i >= 20 && i < n-20 && i%step != 0 {
				continue
			}
			if !yield(i) {
				return
			}
		}
	}
}

func checkOpens(t *testing.T, c Cipher, v Value, want string) {
	t.Helper()
	got, err := c.Open(v)
	if err != nil {
		t.Fatalf("Open: %v; want the plaintext", err)
	}
	if string(got) != want {
		t.Fatalf("Open: got %.80q (%d bytes), want %.80q (%d bytes)", got, len(got), want, len(want))
	}
}

// checkFails opens v and wants an error that is want (nil: any of the three),
// gives no plaintext and tells no secret.
func checkFails(t *testing.T, f format, k known, c Cipher, v Value, want error) {
	t.Helper()
	got, err := c.Open(v)
	if err == nil {
		t.Fatalf("Open: got %.40q (%d bytes), want %v", got, len(got), want)
	}
	if got != nil {
		t.Errorf("Open: got %d bytes beside an error, want nil", len(got))
	}
	if want != nil && !errors.Is(err, want) {
		t.Errorf("Open: got error %q, want %q", err, want)
	}
	checkError(t, f, k, v, err)
}

// checkTampered reports whether v, made of k's value, fails to open, and wants
// one of three: an error, k's plaintext, or (not authenticated) a plaintext of
// valid shape. seen holds the errors that k's values gave before.
func checkTampered(t *testing.T, f format, k known, c Cipher, v Value, seen map[string]bool) bool {
	t.Helper()
	got, err := c.Open(v)
	switch {
	case err != nil:
		if !seen[err.Error()] { // the search for pieces takes longer than the rest
			seen[err.Error()] = true
			checkError(t, f, k, v, err)
		}
		return true
	case string(got) == k.want:
	case k.authenticated:
		t.Errorf("a changed value opened to another plaintext of %d bytes", len(got))
	case !utf8.Valid(got) || bytes.ContainsFunc(got, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' }):
		t.Errorf("a changed value opened to %d bytes that are no text", len(got))
	}
	return false
}

// checkError wants err to be of the three kinds, and to share no 6 bytes with the
// keys, the plaintext or the value, but for the format's own words.
func checkError(t testing.TB, f format, k known, v Value, err error) {
	t.Helper()
	if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrKey) && !errors.Is(err, ErrNoKey) {
		t.Errorf("got error %q, want ErrFormat, ErrKey or ErrNoKey", err)
	}
	for w := range windows(f, err) {
		for _, secret := range append([]string{k.want, string(v.Data)}, k.secrets...) {
			if strings.Contains(secret, w) {
				t.Fatalf("the error %q tells %q of a value, plaintext or key", err, w)
			}
		}
		for _, with := range v.With {
			if strings.Contains(with, w) {
				t.Fatalf("the error %q tells %q of what is beside the value", err, w)
			}
		}
	}
}

// windows yields every 6 bytes of err's text, without the format's words.
func windows(f format, err error) func(func(string) bool) {
	parts := []string{err.Error()}
	for _, word := range f.words {
		var cut []string
		for _, p := range parts {
			cut = append(cut, strings.Split(p, word)...)
		}
		parts = cut
	}
	return func(yield func(string) bool) {
		for _, p := range parts {
			for i := 0; i+6 <= len(p); i++ {
				if !yield(p[i : i+6]) {
					return
				}
			}
		}
	}
}

// fuzz is the body of a format's fuzz target: no input panics, errors are of the
// three kinds and tell nothing. Seeds are the format's own values, which run as
// a normal test; the second argument holds what is beside the value, in the order
// of its names, cut by zero bytes.
//
//	func FuzzBetterAuth(f *testing.F) { fuzz(f, "better-auth") }
func fuzz(f *testing.F, name string) {
	form := registered(f, name)
	first := form.known[0]
	var ciphers []Cipher
	for _, k := range form.known {
		if len(ciphers) < 6 {
			ciphers = append(ciphers, must(f, k.right))
		}
	}
	ciphers = append(ciphers, must(f, first.wrong), must(f, first.none))
	names := map[string]bool{}
	values := slices.Concat(form.damaged, form.plain)
	for _, k := range form.known {
		if len(k.value.Data) < 4096 {
			values = append(values, k.value)
		}
		first.secrets = append(first.secrets, k.secrets...)
	}
	for _, v := range values {
		for n := range v.With {
			names[n] = true
		}
	}
	var order []string
	for n := range names {
		order = append(order, n)
	}
	slices.Sort(order)
	for _, v := range values {
		var with []string
		for _, n := range order {
			with = append(with, v.With[n])
		}
		f.Add(v.Data, strings.Join(with, "\x00"))
	}
	f.Fuzz(func(t *testing.T, data []byte, with string) {
		v := Value{Data: data}
		if len(order) > 0 {
			v.With = map[string]string{}
			for i, w := range strings.SplitN(with, "\x00", len(order)) {
				v.With[order[i]] = w
			}
		}
		for _, c := range ciphers {
			sealed := c.Sealed(v)
			got, err := c.Open(v)
			if err != nil {
				if got != nil {
					t.Errorf("%d bytes beside an error", len(got))
				}
				checkError(t, form, first, v, err)
			} else if !sealed {
				t.Errorf("a value that is not sealed opened")
			}
		}
	})
}

func TestKeyError_TellsNameAndProblem(t *testing.T) {
	err := error(&KeyError{Name: "encryption_key", Problem: "must be base64 of 32 bytes"})
	if got, want := err.Error(), "encryption_key must be base64 of 32 bytes"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
