package cipher

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/migrate/connect"
)

// pgpShared is what Postgres 15 made of "ya29.pgcrypto-é✓" apart from ours.
const pgpShared = "c30d040703025aa752ccb9d4f30078d2440130853e7b00437eeb260c6f81274b4df33da1af9e404d6889ece3d12831fbae0e40cda26bce170bc02f21276322be8ec3e2a1f80344b378064dba1f17c7f3a209a363ff"

func init() {
	open := func(passphrases []string) (*PGP, error) { return NewPGP(secretList(passphrases)...) }
	other := func([]string) []string { return []string{"none of them", "nor this"} }
	with := func(passphrases ...string) func() (Cipher, error) {
		return func() (Cipher, error) { return open(passphrases) }
	}
	formats = append(formats, format{
		name: "pgcrypto",
		known: slices.Concat(answers("pgcrypto-18", open, other), answers("pgcrypto-15", open, other), []known{{
			name: "another's", value: text(pgpShared), want: "ya29.pgcrypto-é✓", authenticated: true, secrets: []string{"pgp-pass"},
			right: with("pgp-pass"), wrong: with("pgp-passs"), none: with(),
		}}),
		damaged: []Value{
			text("-----BEGIN PGP MESSAGE-----"), text("-----BEGIN PGP MESSAGE-----\n\n!\n-----END PGP MESSAGE-----"), text("-----BEGIN PGP MESSAGE-----\n\nww0E\n=AAAA\n-----END PGP MESSAGE-----"),
			text("-----BEGIN PGP MESSAGE-----\n\n-----END PGP MESSAGE-----"), text(pgpShared[:60]), text(`\x` + pgpShared[:28]), text(pgpShared[:10] + "63" + pgpShared[12:]), text(pgpShared[:8] + "05" + pgpShared[10:]),
			bytesOf("c30d0407030100000000000000000000"), bytesOf("8c0404070002ff"), bytesOf("c30404070002d20101"), bytesOf("c30404070002c900"),
		},
		plain: []Value{text("-----BEGIN PGP PUBLIC KEY BLOCK-----"), text("c30d"), text(`\xc30d`), text("ww0"), bytesOf("c3a9c3a9c3a9"), bytesOf("c30d05070302")},
	})
	openRaw := func(o PGRawOptions, keys []string) (*PGRaw, error) { return NewPGRaw(o, secretList(keys)...) }
	formats = append(formats, format{
		name:  "pgcrypto-raw",
		known: configured("pgcrypto-raw", openRaw, func([]string) []string { return []string{"neither-of-them-", "nor-this"} }),
		plain: []Value{text("abcdef"), text(`\xabcd`), bytesOf("ff"), text("deadbeefdeadbeefdeadbeefdeadbeefdeadbeef")},
		words: []string{"base64"},
	})
}

// bytesOf returns the value of a bytea column.
func bytesOf(digits string) Value {
	b, err := hex.DecodeString(digits)
	if err != nil {
		panic(err)
	}
	return Value{Data: b}
}

func FuzzPGP(f *testing.F)   { fuzz(f, "pgcrypto") }
func FuzzPGRaw(f *testing.F) { fuzz(f, "pgcrypto-raw") }

func TestPGP_TellsMessagesForAPublicKey(t *testing.T) {
	c, err := NewPGP(connect.NewSecret("pass"))
	if err != nil {
		t.Fatal(err)
	}
	v := bytesOf("c1030301ff" + "d22a01" + strings.Repeat("00", 41)) // no session key for a passphrase
	if !c.Sealed(v) {
		t.Error("Sealed is false, want true")
	}
	if _, err := c.Open(v); !errors.Is(err, ErrNoKey) {
		t.Errorf("got %v, want ErrNoKey", err)
	}
}

func TestNewPGRaw_TellsKeysThatCannotBeOne(t *testing.T) {
	for _, c := range []struct{ name, kind, key string }{
		{"type", "rot13", "a key"}, {"type", "aes-ctr", "a key"}, {"type", "aes/pad:zero", "a key"}, {"type", "aes/", "a key"},
		{"encryption_key", "aes", `\xno-digits`}, {"encryption_key", "aes", `\x`}, {"encryption_key", "bf", strings.Repeat("0123456789", 6)},
	} {
		_, err := NewPGRaw(PGRawOptions{Type: c.kind}, connect.NewSecret(c.key))
		checkKeyError(t, err, c.name, c.key)
	}
}

// Whatever options pgp_sym_encrypt has, what the Postgres at hand makes opens.
func TestPGP_OpensWhatPostgresMakes(t *testing.T) {
	conn := pgcrypto(t)
	const passphrase = "a passphrase — with more than ASCII"
	right := must(t, func() (Cipher, error) {
		return NewPGP(connect.NewSecret("an older one"), connect.NewSecret(passphrase))
	})
	wrong := must(t, func() (Cipher, error) { return NewPGP(connect.NewSecret("an older one")) })
	for _, plaintext := range []string{"", "ya29.short-é✓", strings.Repeat("ya29.0123456789-", 600)} {
		for _, cipher := range []string{"bf", "aes128", "aes192", "aes256", "3des", "cast5"} {
			for _, more := range []string{
				"", "compress-algo=1", "compress-algo=2", "disable-mdc=1", "disable-mdc=1, compress-algo=2", "sess-key=1", "sess-key=1, s2k-cipher-algo=aes256", "sess-key=1, s2k-cipher-algo=bf, s2k-digest-algo=md5",
				"s2k-mode=0", "s2k-mode=1, s2k-digest-algo=md5", "s2k-mode=3, s2k-count=1000000", "s2k-mode=0, s2k-digest-algo=sha512", "unicode-mode=1", "convert-crlf=1",
			} {
				options := strings.TrimSuffix("cipher-algo="+cipher+", "+more, ", ")
				t.Run(fmt.Sprintf("%s, %d bytes", options, len(plaintext)), func(t *testing.T) {
					var message []byte
					var armored string
					const query = "SELECT m, armor(m) FROM (SELECT pgp_sym_encrypt($1::text, $2::text, $3::text) AS m) AS s"
					if err := conn.QueryRow(t.Context(), query, plaintext, passphrase, options).Scan(&message, &armored); err != nil {
						t.Fatalf("encrypt: %v", err)
					}
					checkOpens(t, right, Value{Data: message}, plaintext)
					checkOpens(t, right, text(armored), plaintext)
					// A Postgres without the cipher opens it with any passphrase.
					var opened string
					if conn.QueryRow(t.Context(), "SELECT pgp_sym_decrypt($1, 'an older one')", message).Scan(&opened) == nil {
						checkOpens(t, wrong, Value{Data: message}, plaintext)
					} else if got, err := wrong.Open(Value{Data: message}); !errors.Is(err, ErrKey) {
						t.Errorf("with another passphrase: got %d bytes, error %v; want ErrKey", len(got), err)
					}
				})
			}
		}
	}
}

func TestPGRaw_OpensWhatPostgresMakes(t *testing.T) {
	conn := pgcrypto(t)
	for _, n := range []int{1, 7, 16, 17, 24, 31, 32, 40} {
		for _, kind := range []string{"aes", "aes-cbc/pad:pkcs", "aes-ecb"} {
			for _, iv := range []string{"", "short", "sixteen bytes iv", "abcdefghijklmnop"} {
				key := strings.Repeat("raw-key.", 5)[:n]
				c := must(t, func() (Cipher, error) { return NewPGRaw(PGRawOptions{Type: kind}, connect.NewSecret(key)) })
				const query = "SELECT encrypt_iv($1::bytea, $2::bytea, $3::bytea, $4)"
				var sealed []byte
				if err := conn.QueryRow(t.Context(), query, []byte("ya29.raw-é✓"), []byte(key), []byte(iv), kind).Scan(&sealed); err != nil {
					t.Fatalf("%s, key of %d bytes: %v", kind, n, err)
				}
				checkOpens(t, c, Value{sealed, map[string]string{"iv": iv}}, "ya29.raw-é✓")
			}
		}
	}
}

// pgcrypto returns a connection to a database with the extension.
func pgcrypto(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), localpg.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	if _, err := conn.Exec(t.Context(), "CREATE EXTENSION pgcrypto"); err != nil {
		t.Fatalf("this test needs Postgres' extension pgcrypto: %v", err)
	}
	return conn
}
