package cipher

import (
	"bytes"
	"crypto/aes"
	gocipher "crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"sync"

	"tokenmigrate/migrate/connect"
)

// Grafana opens o_auth_access_token, o_auth_refresh_token and o_auth_id_token of
// Grafana's user_auth.
//
// Envelopes, since 9.0: "#", the unpadded base64 of a data key's id, "#", and an
// inner payload under that data key. The data key is encrypted_data of the row of
// data_keys with that id; where its provider is "secretKey.v1", that is an inner
// payload under secret_key. Before 9.0 the value is an inner payload under
// secret_key itself.
//
// The inner payload:
//
//   - Algorithm: AES-256 in CFB mode, not authenticated, or AES-256-GCM with nothing
//     authenticated beside the text; "aes-cfb" or "aes-gcm" is named before the
//     salt, as "*", its unpadded base64, "*". Without a name it is CFB.
//   - Key: PBKDF2-HMAC-SHA256 of the secret with the salt, 10 000 rounds.
//   - Layout: salt (8 bytes), then of CFB IV (16), ciphertext; of GCM nonce (12),
//     ciphertext, tag (16).
//   - Encoding: standard base64 around all of it.
//
// Made by pkg/services/encryption and pkg/services/secrets of Grafana, which are
// not published apart from it. Deriving a key takes milliseconds, and every value
// has its own salt; the last thousands are kept, for values read again.
type Grafana struct {
	secrets []string
	rows    map[string]*grafanaRow
	derived keptKeys
}

// GrafanaDefaultKey is the secret_key that Grafana runs with unless its operator
// sets one.
const GrafanaDefaultKey = "SW2YcwTIb9zpOOhoPsMm"

// GrafanaDataKey is one row of data_keys, whatever its state: keys that are no
// longer active open the values of their time.
type GrafanaDataKey struct {
	ID       string // column name
	Provider string // "secretKey.v1"; keys of other providers cannot be opened here
	Data     []byte // column encrypted_data
}

// grafanaRow is a data key, which is unwrapped when a value first needs it: there
// may be one for each day.
type grafanaRow struct {
	provider string
	unwrap   func() []string // one key for each secret_key that may have wrapped it
}

const (
	grafanaSalt   = 8
	grafanaRounds = 10_000
	grafanaCFB    = "aes-cfb"
	grafanaGCM    = "aes-gcm"
)

// NewGrafana takes the rows of data_keys, none where the table is missing or
// empty, and secret_key of the section security; several of them, newest first, if
// it was ever changed. A data key that does not unwrap is no error here: its values
// answer ErrKey.
//
// It never fails; the error is for the form that all constructors share.
func NewGrafana(rows []GrafanaDataKey, secrets ...connect.Secret) (*Grafana, error) {
	c := &Grafana{rows: map[string]*grafanaRow{}}
	for _, secret := range secrets {
		if !secret.Empty() {
			c.secrets = append(c.secrets, secret.Reveal())
		}
	}
	for _, r := range rows {
		data := bytes.Clone(r.Data)
		c.rows[r.ID] = &grafanaRow{r.Provider, sync.OnceValue(func() []string {
			var keys []string
			for _, secret := range c.secrets {
				p, err := parseGrafana(data)
				if err != nil {
					break
				}
				// CFB gives some key for each secret; the value shows which is right.
				if key, ok := c.open(p, secret); ok && len(key) > 0 {
					keys = append(keys, string(key))
				}
			}
			return keys
		})}
	}
	return c, nil
}

// Sealed reports whether v is base64 of at least a salt and an IV, or of an
// envelope. Grafana encrypts every token, so that nothing plain needs telling
// apart; a token of 32 or more letters and digits would look sealed.
func (c *Grafana) Sealed(v Value) bool {
	text := trim(v.Data)
	raw, ok := unbase64(text)
	return ok && (len(raw) >= grafanaSalt+12 || bytes.HasPrefix(raw, []byte("#")) && bytes.Count(raw, []byte("#")) > 1)
}

// Open returns the token.
func (c *Grafana) Open(v Value) ([]byte, error) {
	if !c.Sealed(v) {
		return nil, damaged("it is no base64, or too short")
	}
	raw, _ := unbase64(v.Data)
	rest, envelope := bytes.CutPrefix(raw, []byte("#"))
	if !envelope {
		p, err := parseGrafana(raw)
		if err != nil {
			return nil, err
		}
		if len(c.secrets) == 0 {
			return nil, noKey("give secret_key")
		}
		return c.openAny(p, c.secrets)
	}
	id, inner, found := bytes.Cut(rest, []byte("#"))
	name, ok := unbase64(id)
	if !found || !ok || len(name) == 0 {
		return nil, damaged("it names no data key")
	}
	p, err := parseGrafana(inner)
	if err != nil {
		return nil, err
	}
	row, known := c.rows[string(name)]
	switch {
	case !known:
		return nil, noKey("the value names a data key that data_keys does not hold")
	case !strings.HasPrefix(row.provider, "secretKey"):
		return nil, noKey("a key management service wraps the value's data key")
	case len(c.secrets) == 0:
		return nil, noKey("give secret_key, which wraps the data keys")
	}
	return c.openAny(p, row.unwrap())
}

// grafanaPayload is an inner payload.
type grafanaPayload struct{ algorithm, salt, iv, sealed []byte }

// parseGrafana cuts an inner payload into its parts.
func parseGrafana(raw []byte) (*grafanaPayload, error) {
	p := &grafanaPayload{algorithm: []byte(grafanaCFB)}
	if rest, named := bytes.CutPrefix(raw, []byte("*")); named {
		// A salt of the oldest form may begin with the same byte; what follows it is
		// then no base64 of a name, as a rule.
		name, after, found := bytes.Cut(rest, []byte("*"))
		decoded, ok := debase64(base64.RawStdEncoding, name)
		switch known := string(decoded) == grafanaCFB || string(decoded) == grafanaGCM; {
		case found && len(name) == 0:
			raw = after
		case found && ok && known:
			raw, p.algorithm = after, decoded
		case found && ok && readable(decoded):
			return nil, damaged("its algorithm is neither %s nor %s", grafanaCFB, grafanaGCM)
		}
	}
	size := aes.BlockSize
	if string(p.algorithm) == grafanaGCM {
		size = 12
	}
	if len(raw) < grafanaSalt+size {
		return nil, damaged("its payload is too short")
	}
	p.salt, raw = raw[:grafanaSalt], raw[grafanaSalt:]
	p.iv, p.sealed = raw[:size], raw[size:]
	return p, nil
}

// open opens p with one secret. Without authentication any secret gives something.
func (c *Grafana) open(p *grafanaPayload, secret string) ([]byte, bool) {
	key := c.derived.of(secret, string(p.salt), func() ([]byte, error) {
		return pbkdf2.Key(sha256.New, secret, p.salt, grafanaRounds, 32)
	})
	if string(p.algorithm) == grafanaGCM {
		return openGCM(key, p.iv, p.sealed, nil)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, false
	}
	plain := make([]byte, len(p.sealed))
	//lint:ignore SA1019 Grafana writes CFB, authenticated or not.
	gocipher.NewCFBDecrypter(block, p.iv).XORKeyStream(plain, p.sealed)
	return plain, true
}

// openAny opens a token with the first of secrets that gives text.
func (c *Grafana) openAny(p *grafanaPayload, secrets []string) ([]byte, error) {
	for _, secret := range secrets {
		if plain, ok := c.open(p, secret); ok && readable(plain) {
			return plain, nil
		}
	}
	return nil, ErrKey
}
