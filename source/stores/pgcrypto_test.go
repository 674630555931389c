package stores

import (
	"fmt"
	"strings"
)

func init() {
	pgp := func(name string) string { return `\x` + sealedValue("pgcrypto-15", name) }
	raw := func(name string) string { return `\x` + sealedValue("pgcrypto-raw", name) }
	fixtures = append(fixtures,
		fixture{store: "pgcrypto", name: "pgp_sym_encrypt", given: Params{"table": "grants", "plain": "allowed"}, variant: "table public.grants",
			keys:  Keys{"encryption_key": secret("pass-Zt41x é"), "old_keys": secret("pass-Zt41x")},
			wrong: Keys{"encryption_key": secret("another passphrase")}, decrypted: 5, plain: 1,
			sql: []string{
				`CREATE TABLE grants (id bigint PRIMARY KEY, user_id integer, provider text, access_token bytea, refresh_token bytea, expires_at timestamptz, scope text)`,
				`INSERT INTO grants VALUES (` + strings.Join([]string{
					quoted(1, 5, "google", pgp("defaults"), pgp("cipher-algo=aes256"), "2030-01-01Z", "a b"),
					quoted(2, 5, "google", fmt.Sprintf(`\x%x`, sealedValue("pgcrypto-15", "64 KiB")), nil, "2030-01-01Z", nil),
					quoted(3, 5, "google", pgp("compress-algo=2, compress-level=9"), nil, "2030-01-01Z", nil),
					quoted(4, 5, "google", pgp("defaults")[:80], nil, "2030-01-01Z", nil),
					quoted(5, 5, "github", "gho_plain", nil, nil, nil),
					quoted(6, 5, "google", pgp("sess-key=1"), nil, "2030-01-01Z", nil),
					quoted(7, 5, "google", nil, nil, nil, nil),
				}, "), (") + ")",
			},
			want: map[string]string{
				"1": `{"provider":"google","accessToken":"ya29.pgcrypto-é✓","refreshToken":"ya29.pgcrypto-é✓","expiresAt":1893456000000,"subject":"5","scopes":["a","b"]}`,
				"2": `{"provider":"google","accessToken":"` + longToken + `","expiresAt":1893456000000,"subject":"5"}`,
				"3": `{"provider":"google","accessToken":"` + sealedCase("pgcrypto-15", "compress-algo=2, compress-level=9").Plaintext + `","expiresAt":1893456000000,"subject":"5"}`,
				"4": "decrypt_failed",
				"5": `{"provider":"github","accessToken":"gho_plain","expiresAt":"made up","subject":"5"}`,
				"6": `{"provider":"google","accessToken":"ya29.pgcrypto-é✓","expiresAt":1893456000000,"subject":"5"}`,
				"7": "no_token",
			}},
		fixture{store: "pgcrypto", name: "encrypt_iv", given: Params{"table": "grants", "function": "encrypt"}, variant: "encrypt",
			keys:  Keys{"encryption_key": secret(`raw-key-of-32-bytes-123456789012`)},
			wrong: Keys{"encryption_key": secret(`RAW-key-of-32-bytes-123456789012`)}, decrypted: 1,
			sql: []string{
				`CREATE TABLE grants (id bigint PRIMARY KEY, user_id integer, provider text, access_token bytea, access_token_iv bytea, expires_at timestamptz)`,
				`INSERT INTO grants VALUES (` + quoted(1, 5, "google", raw("aes-cbc/pad:pkcs, a key of 32 bytes, an iv of 16"),
					sealedWith("pgcrypto-raw", "aes-cbc/pad:pkcs, a key of 32 bytes, an iv of 16")["iv"], "2030-01-01Z") + `)`,
			},
			want: map[string]string{"1": `{"provider":"google","accessToken":"ya29.raw-é✓-aes-cbc/pad:pkcs","expiresAt":1893456000000,"subject":"5"}`}},
	)
}
