package cipher

import (
	"strings"
	"testing"
)

func TestResembles(t *testing.T) {
	for text, want := range map[string]string{
		"gAAAAABn" + strings.Repeat("aB3_", 25) + "==":                                     "Fernet",
		"b'gAAAAABn" + strings.Repeat("aB3_", 25) + "=='":                                  "Fernet",
		"enc:gAAAAABn" + strings.Repeat("aB3_", 25) + "==":                                 "Fernet",
		`"{\"p\":\"abc\",\"h\":{\"iv\":\"x\"}}"`:                                           "a JSON envelope",
		strings.Repeat("QUJD", 10) + "==--" + strings.Repeat("0f", 20):                     "Rails' MessageEncryptor",
		"$ba$2$" + strings.Repeat("0f", 40):                                                "Better Auth",
		"U2FsdGVkX18DntyA7er74bcp1eFjmqssVe4i8pn0":                                         "OpenSSL or CryptoJS",
		"v1.aesgcm256.0a1b2c3d.aaaa.bbbb":                                                  "prisma-field-encryption",
		"enc:v2:240bfbbd:PjAfMQXOpJnw9":                                                    "Twenty",
		"vault:v1:8SDd3WHDOjf7mq69":                                                        "Vault's transit engine",
		"-----BEGIN PGP MESSAGE-----\n\nww0E":                                              "OpenPGP",
		"0123456789abcdef01234567:00112233445566778899aabbccddeeff:0badc0de":               "AES with its IV, tag and ciphertext in hexadecimal",
		"00112233445566778899aabbccddeeff:0badc0de:00112233445566778899aabbccddeeff":       "AES with its IV, tag and ciphertext in hexadecimal",
		"eyJpdiI6IkFBQUFBQUFBQUFBQUFBQUFBQUFBQUE9PSIsInZhbHVlIjoiQUFBQSIsIm1hYyI6ImFiIn0=": "Laravel",
		`{"p":"abc","h":{"iv":"x","at":"y"}}`:                                              "a JSON envelope",
		`{"iv":"ab","data":"cd"}`:                                                          "a JSON envelope",

		"gAAAAshort": "", "ya29.a0AfH6SMB": "", "xoxb-1-2-abc": "", "gho_16C7e42F292c6912E7710c838347Ae178B4a": "",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln": "", "eyJpdiI6": "", "1//0gAAAA": "", "": "", "EAAG:123:456": "",
		strings.Repeat("ab", 100): "", "0123:4567:89ab": "", `{"access_token":"x"}`: "", `{"iv":1`: "", "vault": "", "enc:": "",
		"def50200" + strings.Repeat("0f", 200): "",
	} {
		if got := Resembles(text); got != want {
			t.Errorf("%.40s: got %q, want %q", text, got, want)
		}
	}
}
