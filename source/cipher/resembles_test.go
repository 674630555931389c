package cipher

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

func TestResembles(t *testing.T) {
	const hexIV, b64IV = "00112233445566778899aabbccddeeff", "ABEiM0RVZneImaq7zN3u/w=="
	// pgp_sym_encrypt('ya29.pgcrypto-é✓', 'pgp-pass') of Postgres 15.
	const pgpHex = "c30d040703025aa752ccb9d4f30078d2440130853e7b00437eeb260c6f81274b4df33da1af9e404d6889ece3d12831fbae0e40cda26bce170bc02f21276322be8ec3e2a1f80344b378064dba1f17c7f3a209a363ff"
	pgpRaw, _ := hex.DecodeString(pgpHex)
	for text, want := range map[string]string{
		"gAAAAABn" + strings.Repeat("aB3_", 25) + "==":                 "Fernet",
		"b'gAAAAABn" + strings.Repeat("aB3_", 25) + "=='":              "Fernet",
		"enc:gAAAAABn" + strings.Repeat("aB3_", 25) + "==":             "Fernet",
		`"{\"p\":\"abc\",\"h\":{\"iv\":\"x\"}}"`:                       "Active Record Encryption",
		strings.Repeat("QUJD", 10) + "==--" + strings.Repeat("0f", 20): "Rails' MessageEncryptor",
		"$ba$2$" + strings.Repeat("0f", 40):                            "Better Auth",
		"U2FsdGVkX18DntyA7er74bcp1eFjmqssVe4i8pn0":                     "OpenSSL or CryptoJS",
		"v1.aesgcm256.0a1b2c3d.aaaa.bbbb":                              "prisma-field-encryption",
		"enc:v2:240bfbbd:PjAfMQXOpJnw9":                                "Twenty",
		"vault:v1:8SDd3WHDOjf7mq69":                                    "Vault's transit engine",
		"AQICAH" + strings.Repeat("hB3/", 40) + "==":                   "AWS KMS", "Fe26.2**0cdd60": "Iron",
		"-----BEGIN PGP MESSAGE-----\n\nww0E":                                              "OpenPGP",
		"0123456789abcdef01234567:00112233445566778899aabbccddeeff:0badc0de":               aesParts,
		"00112233445566778899aabbccddeeff:0badc0de:00112233445566778899aabbccddeeff":       aesParts,
		"eyJpdiI6IkFBQUFBQUFBQUFBQUFBQUFBQUFBQUE9PSIsInZhbHVlIjoiQUFBQSIsIm1hYyI6ImFiIn0=": "Laravel",
		`{"p":"abc","h":{"iv":"x","at":"y"}}`:                                              "Active Record Encryption",
		hexIV + ":" + hexIV + hexIV:                                                        aesParts, // CBC
		"0123456789abcdef01234567:" + hexIV + "0badc0de":                                   aesParts, // GCM, the tag at the end
		hexIV + ":0123456789abcdef01234567:0badc0de":                                       aesParts,
		hexIV + hexIV + ":" + hexIV + ":" + hexIV + ":0badc0de":                            aesParts, // a salt before it
		"v1:" + hexIV + ":" + hexIV + ":0badc0de":                                          aesParts,
		"enc:v2:" + hexIV + ":" + strings.ToUpper(hexIV) + ":0badc0de":                     aesParts,
		"aes-256-gcm:" + hexIV + ":" + hexIV + ":0badc0de":                                 aesParts,
		b64IV + "." + b64IV + ".AAECAw==":                                                  aesParts,
		"AAECAwQFBgcICQoL:" + b64IV + ":AAECAw==":                                          aesParts,
		"AAECAwQFBgcICQoL:AAECAwQFBgcICQoLDA0ODxAREg==":                                    aesParts, // GCM, the tag at the end
		"AAECAwQFBgcICQoL:AAECAw==:" + b64IV:                                               aesParts,
		b64IV + ":AAECAwQFBgcICQoLDA0ODw==":                                                aesParts,
		"U2FsdGVkX18DntyA7er74bcp1eFj\nmqssVe4i8pn0":                                       "OpenSSL or CryptoJS",
		"53616c7465645f5f" + hexIV + hexIV:                                                 "OpenSSL or CryptoJS",
		pgpHex:                                                                             "OpenPGP",
		`\x` + pgpHex:                                                                      "OpenPGP",
		base64.StdEncoding.EncodeToString(pgpRaw)[:76] + "\n" + base64.StdEncoding.EncodeToString(pgpRaw)[76:]: "OpenPGP",
		hexIV + ":AAECAwQFBgcICQoLDA0ODxAREg==": aesParts, // as CryptoJS writes it
		base64.StdEncoding.EncodeToString([]byte(`{"iv":"AAECAwQFBgcICQoL","content":"AAEC","tag":"` + b64IV + `"}`)): "a JSON envelope in base64",
		`{"nonce":"ab","ciphertext":"cd"}`: "a JSON envelope",
		`{"iv":"ab","data":"cd"}`:          "a JSON envelope",

		"gAAAAshort": "", "ya29.a0AfH6SMB": "", "xoxb-1-2-abc": "", "gho_16C7e42F292c6912E7710c838347Ae178B4a": "",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln": "", "eyJpdiI6": "", "1//0gAAAA": "", "": "", "EAAG:123:456": "",
		"1000." + hexIV + "." + hexIV: "", hexIV: "", hexIV + "-us21": "", "token:" + hexIV: "", hexIV + ":abc": "", pgpHex[:90]: "", "c30d0407" + hexIV: "",
		"1234-AbC:SecretOfOAuth1": "", "AAECAwQFBgcICQoL:AAECAwQFBgcICQoLDA0ODxAR": "", "MTIzNDU2Nzg5MDEyMzQ1Njc4.G1b2c3.AbCdEfGhIjKlMnOpQrStUvWxYz0": "", `{"nonce":"x"}`: "",
		strings.Repeat("ab", 100): "", "0123:4567:89ab": "", `{"access_token":"x"}`: "", `{"iv":1`: "", "vault": "", "enc:": "",
		"def50200" + strings.Repeat("0f", 200): "",
	} {
		if got := Resembles(text); got != want {
			t.Errorf("%.40s: got %q, want %q", text, got, want)
		}
	}
}

// Every byte that an OpenPGP message begins with is known by each of its writings: else
// one is sent as a token.
func TestResembles_KnowsHowOpenPGPBegins(t *testing.T) {
	for _, first := range []byte{0xc1, 0xc3, 0x84, 0x85, 0x8c, 0x8d} {
		for second := range 256 {
			raw := []byte{first, byte(second), 4, 3}
			for _, text := range []string{hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)), `\x` + hex.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw)} {
				if !slices.ContainsFunc(beginningWith[text[0]], func(r *resemblance) bool { return r.name == "OpenPGP" && r.text.MatchString(text) }) {
					t.Fatalf("%q: not looked at", text)
				}
			}
		}
	}
}

func TestBytes(t *testing.T) {
	const blob = "/v8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiM="
	for name, c := range map[string]struct {
		texts []string
		want  bool
	}{
		"blobs": {[]string{blob, blob}, true}, "nothing": {nil, false}, "one among tokens": {[]string{blob, "ya29.a0AfH6SMB"}, false},
		"text": {[]string{base64.StdEncoding.EncodeToString([]byte(strings.Repeat("text ", 9)))}, false}, "short": {[]string{"/v8AAQ=="}, false},
		"letters and digits": {[]string{"EAAGm0PX4ZCpsBAKZAwe5jvq2ZCmZCkR0EAAGm0PX4ZCpsBAKZAwe5jv"}, false},
	} {
		var b Bytes
		for _, text := range c.texts {
			b.Add(text)
		}
		if _, got := b.Likely(); got != c.want {
			t.Errorf("%s: got %t, want %t", name, got, c.want)
		}
	}
}
