package stores

import (
	"slices"
	"strings"
)

func init() {
	const sealedByVector = "a813c7141d4b3a0cd71fe9f87c7eefd8:9471c967224e9f69ce0855dbe8689ffaf7eb7e49b5dc97a5f47aca9e19b21c7c4050814c4a21646aa6ea73a38d4e03880ba98fd2e3b89ca1ed078c9455ace0c3fbcb64955fb13e72965ba8c2a255f02778ee14232dc1da0f538180a458fe247d8aef58f75b4a56564a0c1bb32fcd565e4f6dd4c2a72386c785f6ed89a43c81f8231cc04174fa7c76122bba864872b5b78c4d8f833e281a54fdd45b541d42bcb33916038e2ffedf32204799501fab1f5e0bb1be27a8190331aa7abe2d540e9c010e3d4faf8da7813301a7730995ec2cd44197b46063292e7c76c31bb902277cec"
	const create = `CREATE TABLE "Credential" (id serial PRIMARY KEY, type text NOT NULL, key jsonb NOT NULL, "userId" integer, "teamId" integer, "appId" text, invalid boolean DEFAULT false,
		"subscriptionId" text, "paymentStatus" text, "billingCycleStart" integer, "delegationCredentialId" text, "encryptedKey" text)`
	// Its neighbour, of Auth.js, is another store's.
	older := strings.NewReplacer(`, "encryptedKey" text`, "", `, "delegationCredentialId" text`, "", `"teamId" integer, `, "").Replace(create)
	row := func(columns string, values ...any) string {
		return `INSERT INTO "Credential" (id, type, key, "userId"` + columns + ") VALUES (" + quoted(values...) + ")"
	}
	plain := []string{
		row("", 1, "google_calendar", `{"access_token":"ya29.ä✓","refresh_token":"1//r","scope":"openid email","token_type":"Bearer","expiry_date":1893456000000}`, 7),
		row("", 2, "office365_calendar", `{"access_token":"EwB","refresh_token":"M.R","scope":"User.Read Calendars.Read","expiry_date":1893456000,"email":"anna@example.com"}`, 7),
		row("", 3, "zoom_video", `{"access_token":"ey","refresh_token":null,"expiry_date":"1893456000000","scope":""}`, 7),
		row("", 4, "google_video", `{}`, 7),
		row("", 5, "caldav_calendar", `"00112233445566778899aabbccddeeff:00112233445566778899aabbccddeeff"`, 7),
		row("", 6, "daily_video", `{"api_key":"k"}`, 7),
		row("", 7, "stripe_payment", `{"access_token":"sk","stripe_user_id":"acct","scope":"read_write"}`, 7),
		row("", 8, "salesforce_other_calendar", `{"access_token":"00D","refresh_token":"5A","instance_url":"https://acme.example.com"}`, 7),
		row("", 9, "google_calendar", `{"access_token":"ya29.0","expiry_date":0}`, nil),
		row("", 10, "zoom_video", `[1]`, 7),
		row(`, invalid`, 11, "zoom_video", `{"access_token":"dead","expiry_date":1893456000000}`, 7, true),
		row(`, invalid`, 12, "zoom_video", `null`, 7, nil),
		`INSERT INTO "Credential" (id, type, key, "userId") VALUES (13, 'google_calendar', jsonb_build_object('access_token', repeat('x', 65536), 'expiry_date', 253402300799000), 7)`,
	}
	want := map[string]string{
		"1": `{"provider":"google_calendar","accessToken":"ya29.ä✓","refreshToken":"1//r","expiresAt":1893456000000,"subject":"7","scopes":["openid","email"]}`,
		"2": `{"provider":"office365_calendar","accessToken":"EwB","refreshToken":"M.R","expiresAt":1893456000000,"subject":"7","scopes":["User.Read","Calendars.Read"],"name":"anna@example.com"}`,
		"3": `{"provider":"zoom_video","accessToken":"ey","expiresAt":1893456000000,"subject":"7"}`,
		"4": "placeholder", "5": "not_oauth", "6": "not_oauth",
		"7": `{"provider":"stripe_payment","accessToken":"sk","expiresAt":"made up","subject":"7","scopes":["read_write"]}`,
		"8": `{"provider":"salesforce_other_calendar","accessToken":"00D","refreshToken":"5A","expiresAt":"made up","subject":"7"}`,
		"9": "missing_subject", "10": "not_oauth", "11": "disconnected", "12": "placeholder",
		"13": `{"provider":"google_calendar","accessToken":"` + strings.Repeat("x", 65536) + `","expiresAt":"made up","subject":"7"}`,
	}
	with := func(more map[string]string) map[string]string {
		all := map[string]string{}
		for _, m := range []map[string]string{want, more} {
			for key, token := range m {
				all[key] = token
			}
		}
		return all
	}
	const google = `{"provider":"google_calendar","accessToken":"ya29.cal","refreshToken":"1//cal","expiresAt":1803196767000,"subject":"7",
		"scopes":["https://www.googleapis.com/auth/calendar.events","https://www.googleapis.com/auth/calendar.readonly"]}`
	const more = `, "encryptedKey", "teamId", "delegationCredentialId"`
	fixtures = append(fixtures,
		fixture{store: "calcom", name: "older", variant: `table public."Credential"`, sql: slices.Concat([]string{older}, plain), want: want, plain: 7},
		fixture{store: "calcom", name: "refused kept", variant: `table public."Credential"`, sql: slices.Concat([]string{older}, plain), plain: 8, given: Params{"refused": "keep"},
			want: with(map[string]string{"11": `{"provider":"zoom_video","accessToken":"dead","expiresAt":1893456000000,"subject":"7"}`})},
		fixture{
			store: "calcom", name: "encrypted copies", variant: `with encrypted copies, table public."Credential"`,
			keys:  Keys{"encryption_key": secret("MY_SECRET_32_BYTE_CALCOM_KEY_000")},
			wrong: Keys{"encryption_key": secret("ANOTHER_32_BYTE_CALCOM_KEY_00000")},
			sql: []string{
				create,
				row(more, 1, "google_calendar", `{"access_token":"fresher","expiry_date":1893456000000}`, 7, sealedByVector, nil, nil),
				row(more, 2, "google_calendar", `{}`, 7, sealedByVector, nil, nil),
				row(more, 3, "google_calendar", `{}`, nil, sealedByVector, 3, nil),
				row(more, 4, "google_calendar", `{}`, 7, sealedByVector[:100], nil, nil),
				row(more, 5, "google_video", `{}`, 7, sealedByVector, nil, nil),
				row(more, 6, "daily_video", `{"api_key":"k"}`, 7, sealedByVector[:65], nil, nil),
				row(more, 7, "google_calendar", `{}`, 7, sealedByVector, nil, "delegation-1"),
				row(more, 8, "google_calendar", `{}`, 7, "", nil, nil),
				row(more, 9, "zoom_video", `{"access_token":"team","expiry_date":1893456000000}`, nil, nil, 3, nil),
				// What is left of a document whose tokens are in the copy alone.
				row(more, 10, "google_calendar", `{"encrypted":true}`, 7, sealedByVector[:65], nil, nil),
				row(more, 11, "zoom_video", `{"expiry_date":1}`, 7, sealedByVector[:65], nil, nil),
				row(more, 12, "hubspot_other_calendar", `"moved"`, 7, sealedByVector[:65], nil, nil),
				`CREATE TABLE "Account" (id text PRIMARY KEY, "userId" integer NOT NULL, type text NOT NULL, provider text NOT NULL, "providerAccountId" text NOT NULL, access_token text)`,
			},
			want: map[string]string{
				"1": `{"provider":"google_calendar","accessToken":"fresher","expiresAt":1893456000000,"subject":"7"}`,
				"2": google,
				"3": strings.Replace(google, `"subject":"7"`, `"subject":{"type":"app"},"tenant":{"id":"3"},"installationId":"3"`, 1),
				"4": "decrypt_failed", "5": "placeholder", "6": "not_oauth", "7": "placeholder", "8": "placeholder",
				"9":  `{"provider":"zoom_video","accessToken":"team","expiresAt":1893456000000,"subject":{"type":"app"},"tenant":{"id":"3"},"installationId":"9"}`,
				"10": "decrypt_failed", "11": "decrypt_failed", "12": "decrypt_failed",
			},
			plain: 2, decrypted: 2,
		})
}
