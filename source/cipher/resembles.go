package cipher

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
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
		if strings.HasPrefix(text, known.begin) && strings.Contains(text, known.part) && known.text.MatchString(text) && (known.sure == nil || known.sure(text)) {
			return known.name
		}
	}
	return ""
}

var resemblances = []struct {
	name string
	// How every text that matches begins, and what stands in it: nearly all tokens
	// are let through for the lack of these, which costs far less than the rest.
	begin, part string
	text        *regexp.Regexp
	sure        func(string) bool
}{
	{"Fernet", "", "gAAAA", regexp.MustCompile(`^.{0,16}gAAAA[A-Za-z0-9_-]{90,}={0,2}'?$`), nil},
	{"Better Auth", "$ba$", "", regexp.MustCompile(`^\$ba\$[^$]+\$[0-9a-f]{80,}$`), nil},
	{"OpenSSL or CryptoJS", "U2FsdGVkX1", "", regexp.MustCompile(`^U2FsdGVkX1[89+/][A-Za-z0-9+/]{20,}={0,2}$`), nil},
	{"prisma-field-encryption", "v", ".aesgcm256.", regexp.MustCompile(`^v[0-9]+\.aesgcm256\.[0-9a-f]{8}\.`), nil},
	{"Twenty", "enc:v", "", regexp.MustCompile(`^enc:v[0-9]+:`), nil},
	{"Vault's transit engine", "vault:v", "", regexp.MustCompile(`^vault:v[0-9]+:`), nil},
	{"OpenPGP", "-----BEGIN PGP MESSAGE", "", regexp.MustCompile(`^-----BEGIN PGP MESSAGE`), nil},
	{"AES with its IV, tag and ciphertext in hexadecimal", "", ":", regexp.MustCompile(`^([0-9a-f]{24}|[0-9a-f]{32}):([0-9a-f]{32}:([0-9a-f]{2})+|([0-9a-f]{2})+:[0-9a-f]{32})$`), nil},
	{"Rails' MessageEncryptor", "", "--", regexp.MustCompile(`^[A-Za-z0-9+/]{20,}={0,2}--([0-9a-f]{40,64}|[A-Za-z0-9+/]{16}--[A-Za-z0-9+/]{22}==)$`), nil},
	{"Laravel", "eyJpdiI6", "", regexp.MustCompile(`^eyJpdiI6[A-Za-z0-9+/]{40,}={0,2}$`), envelope(base64.StdEncoding, "iv", "value")},
	{"a JSON envelope", "{", "", regexp.MustCompile(`^\{`), func(text string) bool {
		return hasFields(text, "p", "h") || hasFields(text, "iv", "data") || hasFields(text, "iv", "ciphertext") ||
			hasFields(text, "iv", "content") || hasFields(text, "iv", "encryptedData") || hasFields(text, "encrypted_credentials")
	}},
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
