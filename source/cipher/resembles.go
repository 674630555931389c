package cipher

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Resembles says by whose format a text is encrypted where that is unmistakable,
// such as "Fernet"; "" for all else, be it a token or a ciphertext that looks like
// nothing. It is the last guard before a ciphertext is sent as if it were a token,
// so it knows only what no provider's token is: no key is tried.
func Resembles(text string) string {
	text = strings.TrimSpace(text)
	var quoted string
	if strings.HasPrefix(text, `"`) && json.Unmarshal([]byte(text), &quoted) == nil {
		text = quoted
	}
	for _, known := range resemblances {
		if strings.HasPrefix(text, known.begin) && strings.Contains(text, known.part) && encodedBehind(text, known.signs) && known.text.MatchString(text) && (known.sure == nil || known.sure(text)) {
			return known.name
		}
	}
	return ""
}

// encodedBehind reports whether one of the signs stands in the text, and only what
// hexadecimal and base64 are written with behind the last of them. No signs: true.
func encodedBehind(text, signs string) bool {
	if signs == "" {
		return true
	}
	at := strings.LastIndexAny(text, signs)
	if at < 0 {
		return false
	}
	for _, c := range []byte(text[at+1:]) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/' || c == '=') {
			return false
		}
	}
	return true
}

var resemblances = []struct {
	name string
	// How every text that matches begins, what stands in it, and signs of which one
	// does, behind the last of which it is hexadecimal or base64: nearly all tokens are
	// let through for the lack of these, which costs far less than the rest.
	begin, part, signs string
	text               *regexp.Regexp
	sure               func(string) bool
}{
	{"Fernet", "", "gAAAA", "", regexp.MustCompile(`^.{0,16}gAAAA[A-Za-z0-9_-]{90,}={0,2}'?$`), nil},
	{"Better Auth", "$ba$", "", "", regexp.MustCompile(`^\$ba\$[^$]+\$[0-9a-f]{80,}$`), nil},
	{"OpenSSL or CryptoJS", "U2FsdGVkX1", "", "", regexp.MustCompile(`^U2FsdGVkX1[89+/][A-Za-z0-9+/\s]{20,}={0,2}$`), nil},
	{"OpenSSL or CryptoJS", "53616", "", "", regexp.MustCompile(`^(?i:53616c7465645f5f)[0-9A-Fa-f]{48,}$`), nil},
	{"prisma-field-encryption", "v", ".aesgcm256.", "", regexp.MustCompile(`^v[0-9]+\.aesgcm256\.[0-9a-f]{8}\.`), nil},
	{"Vault's transit engine", "vault:v", "", "", regexp.MustCompile(`^vault:v[0-9]+:`), nil},
	{"AWS KMS", "AQICAH", "", "", regexp.MustCompile(`^AQICAH[A-Za-z0-9+/]{100,}={0,2}$`), nil},
	{"Iron", "Fe26.", "", "", regexp.MustCompile(`^Fe26\.[0-9]+\*`), nil},
	{"OpenPGP", "-----BEGIN PGP MESSAGE", "", "", regexp.MustCompile(`^-----BEGIN PGP MESSAGE`), nil},
	{"OpenPGP", "", "", "", regexp.MustCompile(`^(\\x|[hjw][A-Za-z0-9+/]|[8Cc][0-9A-Fa-f])`), isPGP},
	{aesParts, "", "", ":.", regexp.MustCompile(`(?i)^` + nodeMark + `(([0-9a-f]{32}){1,4}:)?([0-9a-f]{24}|[0-9a-f]{32})[:.]([0-9a-f]{32}[:.]([0-9a-f]{2})+|([0-9a-f]{2})+[:.][0-9a-f]{32})$`), nil},
	{aesParts, "", ":", "", regexp.MustCompile(`(?i)^` + nodeMark + `([0-9a-f]{32}:[0-9a-f]{24}:([0-9a-f]{2})+|([0-9a-f]{24}|[0-9a-f]{32}):([0-9a-f]{2}){16,})$`), nil},
	{aesParts, "", "", ":.", regexp.MustCompile(`^` + nodeMark + `(` + b64of12or16 + `[:.]` + b64of16 + `[:.]` + b64 + `|` + b64of12or16 + `[:.]` + b64 + `[:.]` + b64of16 + `|` + b64of16 + `:` + b64of12or16 + `:` + b64 + `|` + b64of16 + `:[A-Za-z0-9+/]{22,}={0,2}|([A-Za-z0-9+/]{16}|[0-9a-f]{32}):[A-Za-z0-9+/]{22,}={1,2})$`), nil},
	{"Twenty", "enc:v", "", "", regexp.MustCompile(`^enc:v[0-9]+:`), nil},
	{"Rails' MessageEncryptor", "", "--", "", regexp.MustCompile(`^[A-Za-z0-9+/]{20,}={0,2}--([0-9a-f]{40,64}|[A-Za-z0-9+/]{16}--[A-Za-z0-9+/]{22}==)$`), nil},
	{"Laravel", "eyJpdiI6", "", "", regexp.MustCompile(`^eyJpdiI6[A-Za-z0-9+/]{40,}={0,2}$`), envelope(base64.StdEncoding, "iv", "value")},
	{"Active Record Encryption", "{", "", "", regexp.MustCompile(`^\{`), func(text string) bool { return hasFields(text, "p", "h") }},
	{"a JSON envelope in base64", "eyJpdiI6", "", "", regexp.MustCompile(`^eyJpdiI6[A-Za-z0-9+/]{40,}={0,2}$`), func(text string) bool {
		fields := nodeFields([]byte(text))
		return nodeField(fields, "iv") != nil && nodeField(fields, "ct") != nil
	}},
	{"a JSON envelope", "{", "", "", regexp.MustCompile(`^\{`), func(text string) bool {
		fields := nodeFields([]byte(text))
		return nodeField(fields, "iv") != nil && nodeField(fields, "ct") != nil || hasFields(text, "encrypted_credentials")
	}},
}

const (
	aesParts = "AES with its IV, tag and ciphertext in parts"
	// nodeMark is what applications' own code writes before the parts: "v1:", "enc:v2:".
	nodeMark = `([A-Za-z][\w-]{0,15}:){0,2}`
	// Base64 with its padding, which no token has in its middle: of an IV or a tag.
	b64, b64of16, b64of12or16 = `[A-Za-z0-9+/]+={0,2}`, `[A-Za-z0-9+/]{22}==`, `([A-Za-z0-9+/]{16}|[A-Za-z0-9+/]{22}==)`
)

// isPGP tells a whole message, of bytea's hexadecimal, of hexadecimal or of base64.
func isPGP(text string) bool {
	raw, _, ok := pgpBytes([]byte(text))
	if !ok || !pgpBegins(raw) {
		return false
	}
	_, err := parsePGP(raw)
	return err == nil
}

// Bytes counts texts that are standard base64 of bytes that are no text, as
// ciphertexts mostly are, and now and then a provider's tokens.
type Bytes struct{ all, blobs, marked int }

// Add looks at one more text. It keeps nothing of it.
func (c *Bytes) Add(text string) {
	c.all++
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(b) < 12+16 || utf8.Valid(b) { // an IV and a tag, at least
		return
	}
	c.blobs++
	if strings.ContainsAny(text, "+/=") { // which tokens of random letters do not have
		c.marked++
	}
}

// Likely reports whether nearly all of the texts are such, so that they are more
// likely encrypted than not. It returns how many.
func (c *Bytes) Likely() (n int, likely bool) {
	return c.blobs, c.blobs > 0 && c.blobs*10 >= c.all*9 && c.marked*2 > c.blobs
}

// envelope tells base64 of a JSON object with these fields.
func envelope(encoding *base64.Encoding, fields ...string) func(string) bool {
	return func(text string) bool {
		b, err := encoding.DecodeString(text)
		return err == nil && hasFields(string(b), fields...)
	}
}

// hasFields tells a JSON object with all of these fields.
func hasFields(text string, fields ...string) bool {
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &object) != nil {
		return false
	}
	for _, field := range fields {
		if _, ok := object[field]; !ok {
			return false
		}
	}
	return true
}
