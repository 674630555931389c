package cipher

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tokenmigrate/migrate/connect"
)

// ivTagCT is a value of the commonest layout, whose parts are no ciphertext.
const ivTagCT = "000102030405060708090a0b:101112131415161718191a1b1c1d1e1f:2021"

func init() {
	open := func(o NodeAESOptions, keys []string) (*NodeAES, error) { return NewNodeAES(o, secretList(keys)...) }
	other := func(keys []string) []string { // of the same shape: the bytes backwards
		var wrong []string
		for _, key := range keys {
			var b strings.Builder
			padding := strings.HasSuffix(key, "=")
			runes := []rune(strings.TrimSuffix(key, "="))
			for i := range runes {
				b.WriteRune(runes[len(runes)-1-i])
			}
			if padding {
				b.WriteByte('=')
			}
			wrong = append(wrong, b.String())
		}
		return wrong
	}
	formats = append(formats, format{
		name: "node-aes", known: slices.Concat(configured("node-aes", open, other), configured("openssl", open, other), sharedCalCom(open)),
		damaged: []Value{
			text(ivTagCT[:24] + ":"), text(ivTagCT[:40]), text(ivTagCT[:57]), text(ivTagCT + ":00"),
			text("AAAAAAAAAAAAAAAAAAAAAA==:AAAA:AAAA"),
		},
		plain: []Value{
			text("12:34:56"), text("123456789:AAF-telegram_like_bot_token"), text("a:b:c"), text("::"), text("0001:" + ivTagCT[25:]),
			text("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"), text(`{"access_token":"ya29.plain"}`),
		},
		words: []string{"secret", "characters"},
	})
}

// sharedCalCom is what an independent script made as Cal.com's own code does.
func sharedCalCom(open func(NodeAESOptions, []string) (*NodeAES, error)) []known {
	const key = "MY_SECRET_32_BYTE_CALCOM_KEY_000"
	with := func(keys ...string) func() (Cipher, error) {
		return func() (Cipher, error) {
			return open(NodeAESOptions{Algorithm: "aes-256-cbc", Derive: "latin1", Layout: "iv:ct", Encoding: "hex"}, keys)
		}
	}
	return []known{{
		name: "Cal.com", secrets: []string{key}, right: with(key), wrong: with(strings.ToLower(key)), none: with(),
		want:  `{"access_token":"ya29.cal","refresh_token":"1//cal","scope":"https://www.googleapis.com/auth/calendar.events https://www.googleapis.com/auth/calendar.readonly","token_type":"Bearer","expiry_date":1803196767000}`,
		value: text("a813c7141d4b3a0cd71fe9f87c7eefd8:9471c967224e9f69ce0855dbe8689ffaf7eb7e49b5dc97a5f47aca9e19b21c7c4050814c4a21646aa6ea73a38d4e03880ba98fd2e3b89ca1ed078c9455ace0c3fbcb64955fb13e72965ba8c2a255f02778ee14232dc1da0f538180a458fe247d8aef58f75b4a56564a0c1bb32fcd565e4f6dd4c2a72386c785f6ed89a43c81f8231cc04174fa7c76122bba864872b5b78c4d8f833e281a54fdd45b541d42bcb33916038e2ffedf32204799501fab1f5e0bb1be27a8190331aa7abe2d540e9c010e3d4faf8da7813301a7730995ec2cd44197b46063292e7c76c31bb902277cec"),
	}}
}

// A value of the layout with another prefix than the configured one is no token.
func TestNodeAES_TellsStrangePrefixes(t *testing.T) {
	const blob = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	for _, c := range []struct {
		o     NodeAESOptions
		value string
		want  bool
	}{
		{NodeAESOptions{Prefixes: []string{"v1:"}}, "v2:" + ivTagCT, true},
		{NodeAESOptions{Prefixes: []string{"v1:"}}, "enc:v2:" + ivTagCT, true},
		{NodeAESOptions{Prefixes: []string{"v1:"}}, ivTagCT, true},
		{NodeAESOptions{Prefixes: []string{"v1:"}}, "ya29.plain", false},
		{NodeAESOptions{Prefixes: []string{"v1:"}}, "12:34:56", false},
		{NodeAESOptions{}, "v2:" + ivTagCT, true},
		{NodeAESOptions{}, "v2:plain", false},
		{NodeAESOptions{Layout: "iv+tag+ct", Prefixes: []string{"v1:"}}, "v2:" + blob, true},
		{NodeAESOptions{Layout: "iv+tag+ct"}, "123456789:" + blob, false},
		{NodeAESOptions{Layout: "iv+tag+ct", Prefixes: []string{"v1:"}}, blob, false},
	} {
		cipher, err := NewNodeAES(c.o, connect.NewSecret(strings.Repeat("0a", 32)))
		if err != nil {
			t.Fatal(err)
		}
		v := text(c.value)
		if got := cipher.Sealed(v); got != c.want {
			t.Errorf("%+v: %.20q: got sealed %t, want %t", c.o, c.value, got, c.want)
		}
		if _, err := cipher.Open(v); !errors.Is(err, ErrFormat) {
			t.Errorf("%+v: %.20q: got %v, want ErrFormat", c.o, c.value, err)
		}
	}
}

func FuzzNodeAES(f *testing.F) { fuzz(f, "node-aes") }

func TestNewNodeAES_TellsWhatCannotBe(t *testing.T) {
	const key = "no-key-is-of-22-octets"
	for _, c := range []struct {
		name string
		o    NodeAESOptions
	}{
		{"encryption_key", NodeAESOptions{}}, {"encryption_key", NodeAESOptions{Derive: "hex"}}, {"encryption_key", NodeAESOptions{Derive: "base64"}},
		{"encryption_key", NodeAESOptions{Derive: "raw"}}, {"encryption_key", NodeAESOptions{Derive: "latin1"}},
		{"algorithm", NodeAESOptions{Algorithm: "rot13"}}, {"encoding", NodeAESOptions{Encoding: "base32"}}, {"derive", NodeAESOptions{Derive: "md5"}},
		{"derive", NodeAESOptions{Derive: "pbkdf2-md5"}}, {"iterations", NodeAESOptions{Derive: "scrypt", Iterations: 1000}}, {"iterations", NodeAESOptions{Derive: "pbkdf2-sha256", Iterations: -1}},
		{"algorithm", NodeAESOptions{Derive: "openssl-md5", Layout: "salted"}}, {"layout", NodeAESOptions{Derive: "openssl-md5", Algorithm: "aes-256-cbc"}},
		{"layout", NodeAESOptions{Derive: "sha256", Algorithm: "aes-256-cbc", Layout: "salted"}}, {"layout", NodeAESOptions{Layout: "iv:tag"}}, {"layout", NodeAESOptions{Layout: "iv:iv:ct"}}, {"layout", NodeAESOptions{Layout: "ivct"}}, {"layout", NodeAESOptions{Layout: "iv:tag.ct"}},
		{"layout", NodeAESOptions{Layout: "nonce:ct"}}, {"layout", NodeAESOptions{Layout: "iv:tg:ct"}}, {"layout", NodeAESOptions{Layout: "iv:tag:ct", Algorithm: "aes-256-cbc"}}, {"layout", NodeAESOptions{Layout: "iv:tag:ct", Algorithm: "secretbox"}},
	} {
		_, err := NewNodeAES(c.o, connect.NewSecret(key))
		checkKeyError(t, err, c.name, key)
	}
}

// A prefix decides even of values that are cut short, and without it only what is of
// the layout is sealed.
func TestNodeAES_LooksForItsPrefix(t *testing.T) {
	c, err := NewNodeAES(NodeAESOptions{Prefixes: []string{"enc:"}})
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]bool{ivTagCT: true, ivTagCT[:40]: false, "enc:" + ivTagCT: true, "enc:": true, "enc:cut": true, "": false} {
		if got := c.Sealed(text(value)); got != want {
			t.Errorf("%q: got Sealed %v, want %v", value, got, want)
		}
	}
}

// A row whose iv column is filled is sealed, whatever its value looks like.
func TestNodeAES_AnIVBesideTheValueSealsIt(t *testing.T) {
	c, err := NewNodeAES(NodeAESOptions{Layout: "ct"})
	if err != nil {
		t.Fatal(err)
	}
	v := text("cut")
	if c.Sealed(v) {
		t.Error("without an iv: Sealed is true, want false")
	}
	v.With = map[string]string{"iv": "0001"}
	if !c.Sealed(v) {
		t.Error("with a short iv: Sealed is false, want true")
	}
}

// cryptr 6.4.0 with its defaults: too slow for the suite's thousands of tampered
// salts.
func TestNodeAES_OpensCryptr(t *testing.T) {
	c, err := NewNodeAES(NodeAESOptions{Derive: "pbkdf2-sha512", Layout: "salt+iv+tag+ct"}, connect.NewSecret("correct horse battery — staple"))
	if err != nil {
		t.Fatal(err)
	}
	checkOpens(t, c, text("01059a73218de49fda282a5905fa0b0eee1ccb0cd25f9bead0bf81df9b2f230d5f5876f5c9f50134f85b710fb3f1642f6b1516e5aaa10e4ee75025bb9a7976708d42633ce717684f4b174bb9b8140807a9f5967ad67cd9f6c0355ed31252af354921ff9f9579e73f0ed7b1789db6"), "ya29.cryptr-é")
}
