package stores

import "strings"

func init() {
	of := func(name string) string { return sealedValue("prisma-field", name) }
	fixtures = append(fixtures, fixture{store: "prisma-field-encryption", name: "Prisma's names", given: Params{"table": `"Connection"`},
		variant: `table public."Connection" (provider, access_token: accessToken, refresh_token: refreshToken, expires_at: expiresAt, user_id: userId)`,
		keys: Keys{"encryption_key": secret("k1.aesgcm256.Aw4ZJC86RVBbZnF8h5KdqLO-ydTf6vUACxYhLDdCTVg="),
			"old_keys": secret("k1.aesgcm256.jJeirbjDztnk7_oFEBsmMTxHUl1oc36JlJ-qtcDL1uE,k1.aesgcm256.TVhjbnmEj5qlsLvG0dzn8v0IEx4pND9KVWBrdoGMl6I=")},
		wrong: Keys{"encryption_key": secret("k1.aesgcm256.bm90LXRoZS1rZXktbm90LXRoZS1rZXktbm90LXRoZS0=")}, decrypted: 3, plain: 1,
		sql: []string{
			`CREATE TABLE "Connection" (id text PRIMARY KEY, "userId" text NOT NULL, provider text NOT NULL, "accessToken" text, "refreshToken" text, "expiresAt" timestamp(3))`,
			`INSERT INTO "Connection" VALUES (` + strings.Join([]string{
				quoted("c1", "u", "google", of("unicode"), of("an older key"), "2030-01-01"), quoted("c2", "u", "google", of("64 KiB"), "plain", "2030-01-01"),
				quoted("c3", "u", "google", of("one key")[:40], nil, nil), quoted("c4", "u", "google", "", nil, nil),
			}, "), (") + ")",
		},
		want: map[string]string{
			"c1": `{"provider":"google","accessToken":"1//0g-é✓-トークン","refreshToken":"ya29.prisma-old","expiresAt":1893456000000,"subject":"u"}`,
			"c2": `{"provider":"google","accessToken":"` + longToken + `","refreshToken":"plain","expiresAt":1893456000000,"subject":"u"}`,
			"c3": "decrypt_failed", "c4": "no_token",
		}})
}
