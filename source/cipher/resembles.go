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
	text = unquoted(strings.TrimSpace(text))
	if text == "" {
		return ""
	}
	for _, known := range beginningWith[text[0]] {
		if strings.HasPrefix(text, known.begin) && strings.Contains(text, known.part) && (known.likely == nil || known.likely(text)) && known.text.MatchString(text) && (known.sure == nil || known.sure(text)) {
			return known.name
		}
	}
	return ""
}

// unquoted returns the text that a JSON string holds, or else text itself.
func unquoted(text string) string {
	if !strings.HasPrefix(text, `"`) {
		return text
	}
	held := text
	if json.Unmarshal([]byte(text), &held) != nil {
		return text
	}
	return held
}

// inParts reports whether a text may be of parts with : or . between them, the last
// of them hexadecimal or base64, and one before it as long as an IV is: 12 or 16 bytes.
func inParts(text string) bool {
	if strings.IndexByte(text, ':') < 0 && strings.IndexByte(text, '.') < 0 {
		return false
	}
	last := len(text) - 1
	for encodes[text[last]] {
		last--
	}
	if text[last] != ':' && text[last] != '.' {
		return false
	}
	start := 0
	for i := range last + 1 {
		if text[i] != ':' && text[i] != '.' {
			continue
		}
		switch i - start {
		case 16, 24, 32:
			return true
		}
		start = i + 1
	}
	return false
}

// encodes are the bytes that hexadecimal and base64 are written with.
var encodes = func() (set [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") {
		set[c] = true
	}
	return set
}()

// resemblance is a format that is told by its looks.
type resemblance struct {
	name string
	// With which byte every text that matches begins ("": with any, or with begin), with
	// which text, what stands in it, and what else is true of it: nearly all tokens are
	// let through for the lack of these, which costs far less than the rest.
	first, begin, part string
	likely             func(string) bool
	text               *regexp.Regexp
	sure               func(string) bool
}

var resemblances = []resemblance{
	{name: "Fernet", part: "gAAAA", text: regexp.MustCompile(`^.{0,16}gAAAA[A-Za-z0-9_-]{90,}={0,2}'?$`)},
	{name: "Better Auth", begin: "$ba$", text: regexp.MustCompile(`^\$ba\$[^$]+\$[0-9a-f]{80,}$`)},
	{name: "OpenSSL or CryptoJS", begin: "U2FsdGVkX1", text: regexp.MustCompile(`^U2FsdGVkX1[89+/][A-Za-z0-9+/\s]{20,}={0,2}$`)},
	{name: "OpenSSL or CryptoJS", begin: "53616", text: regexp.MustCompile(`^(?i:53616c7465645f5f)[0-9A-Fa-f]{48,}$`)},
	{name: "prisma-field-encryption", begin: "v", part: ".aesgcm256.", text: regexp.MustCompile(`^v[0-9]+\.aesgcm256\.[0-9a-f]{8}\.`)},
	{name: "Vault's transit engine", begin: "vault:v", text: regexp.MustCompile(`^vault:v[0-9]+:`)},
	{name: "AWS KMS", begin: "AQICAH", text: regexp.MustCompile(`^AQICAH[A-Za-z0-9+/]{100,}={0,2}$`)},
	{name: "Iron", begin: "Fe26.", text: regexp.MustCompile(`^Fe26\.[0-9]+\*`)},
	{name: "OpenPGP", begin: "-----BEGIN PGP MESSAGE", text: regexp.MustCompile(`^-----BEGIN PGP MESSAGE`)},
	{name: "OpenPGP", first: `\hjw8Cc`, text: regexp.MustCompile(`^(\\x|[hjw][A-Za-z0-9+/]|[8Cc][0-9A-Fa-f])`), sure: isPGP},
	{name: aesParts, likely: inParts, text: regexp.MustCompile(`^` + nodeMark + `((?i:` + hexParts + `)|` + b64Parts + `)$`)},
	{name: "Twenty", begin: "enc:v", text: regexp.MustCompile(`^enc:v[0-9]+:`)},
	{name: "Rails' MessageEncryptor", part: "--", text: regexp.MustCompile(`^[A-Za-z0-9+/]{20,}={0,2}--([0-9a-f]{40,64}|[A-Za-z0-9+/]{16}--[A-Za-z0-9+/]{22}==)$`)},
	{name: "Laravel", begin: "eyJpdiI6", text: regexp.MustCompile(`^eyJpdiI6[A-Za-z0-9+/]{40,}={0,2}$`), sure: envelope(base64.StdEncoding, "iv", "value")},
	{name: "Active Record Encryption", begin: "{", text: regexp.MustCompile(`^\{`), sure: func(text string) bool { return hasFields(text, "p", "h") }},
	{name: "a JSON envelope in base64", begin: "eyJpdiI6", text: regexp.MustCompile(`^eyJpdiI6[A-Za-z0-9+/]{40,}={0,2}$`), sure: func(text string) bool {
		fields := nodeFields([]byte(text))
		return nodeField(fields, "iv") != nil && nodeField(fields, "ct") != nil
	}},
	{name: "a JSON envelope", begin: "{", text: regexp.MustCompile(`^\{`), sure: func(text string) bool {
		fields := nodeFields([]byte(text))
		return nodeField(fields, "iv") != nil && nodeField(fields, "ct") != nil || hasFields(text, "encrypted_credentials")
	}},
}

// beginningWith are the resemblances of texts that begin with a byte.
var beginningWith = func() (by [256][]*resemblance) {
	for i := range resemblances {
		known := &resemblances[i]
		firsts := known.first
		if known.begin != "" {
			firsts = known.begin[:1]
		}
		for first := range by {
			if firsts == "" || strings.IndexByte(firsts, byte(first)) >= 0 {
				by[first] = append(by[first], known)
			}
		}
	}
	return by
}()

const (
	aesParts = "AES with its IV, tag and ciphertext in parts"
	// nodeMark is what applications' own code writes before the parts: "v1:", "enc:v2:".
	nodeMark = `([A-Za-z][\w-]{0,15}:){0,2}`
	hexParts = `(([0-9a-f]{32}){1,4}:)?([0-9a-f]{24}|[0-9a-f]{32})[:.]([0-9a-f]{32}[:.]([0-9a-f]{2})+|([0-9a-f]{2})+[:.][0-9a-f]{32})` +
		`|[0-9a-f]{32}:[0-9a-f]{24}:([0-9a-f]{2})+|([0-9a-f]{24}|[0-9a-f]{32}):([0-9a-f]{2}){16,}`
	b64Parts = b64of12or16 + `[:.]` + b64of16 + `[:.]` + b64 + `|` + b64of12or16 + `[:.]` + b64 + `[:.]` + b64of16 +
		`|` + b64of16 + `:` + b64of12or16 + `:` + b64 + `|` + b64of16 + `:[A-Za-z0-9+/]{22,}={0,2}|([A-Za-z0-9+/]{16}|[0-9a-f]{32}):[A-Za-z0-9+/]{22,}={1,2}`
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
