package stores

import (
	"context"
	"fmt"
	"strings"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// calcom is Cal.com: the calendar, video and other apps that users and teams
// connected, in the table "Credential". Facts: the Prisma schema, the credential
// repository, lib/crypto.ts and the Google, Office 365 and Zoom apps of
// calcom/cal.com.
var calcom = &Store{
	Name: "calcom", Aliases: []string{"cal.com"},
	Title:   "Cal.com",
	Summary: `one row per connected app in the table "Credential", its token response in the JSON column key, plain, with an encrypted copy in newer versions`,
	Params: []Param{
		{Name: "table", Default: `"Credential"`, Doc: "the table of credentials"},
		{Name: "team_id", Default: "teamId", Doc: "the column with the team's id, where there is one"},
		{Name: "encrypted_key", Default: "encryptedKey", Doc: "the column with the encrypted copy, where there is one"},
		{Name: "invalid", Default: "invalid", Doc: "the column that marks grants which no longer refresh, where there is one"},
		{Name: "delegation", Default: "delegationCredentialId", Doc: "the column that marks placeholders for a whole domain's delegation, where there is one"},
		refusedParam,
	},
	Keys: []Key{{Name: "encryption_key", Env: "CALENDSO_ENCRYPTION_KEY",
		Doc:    "32 characters; needed only where a row has no tokens but in its encrypted copy. Former keys after it, separated by commas",
		Needed: func(in source.Values) bool { return in["encrypted_key"] != "" }}},
	Cipher: "none in key; encryptedKey: AES-256-CBC of the same document, not authenticated",
	Skips:  skips(skipPlaceholder, skipNotOAuth, skipDisconnected),
	Warnings: []string{
		"Cal.com refreshes tokens in the column key only: that is read first, and the encrypted copy where it has no access token.",
		`A credential of a team is imported as the app's own, with the team as tenant. Sign-ins lie in another table, "Account": that is preset authjs.`,
		"Where credential syncing is on (CALCOM_CREDENTIAL_SYNC_ENDPOINT), your own endpoint refreshes, and refresh tokens may be missing here.",
	},
	MissingExpiry: short("stripe_payment", "slack_messaging"),
	Find: func(c *Catalogue, given Params) []Match {
		var matches []Match
		for _, t := range candidates(c, given, "id", "type", "key", "userId", "appId") {
			if kind := t.Type("key"); kind != "jsonb" && kind != "json" {
				continue
			}
			m := Match{Params: Params{"table": t.String()}, Variant: "table " + t.SQL(), Tables: []*Table{t}}
			for param, column := range map[string]string{"team_id": "teamId", "encrypted_key": "encryptedKey", "invalid": "invalid", "delegation": "delegationCredentialId"} {
				m.Params[param] = t.First(given.or(param, column)...)
			}
			if m.Params["encrypted_key"] != "" {
				m.Variant = fmt.Sprintf("with encrypted copies, table %s", t.SQL())
			}
			matches = append(matches, m)
		}
		return matches
	},
	Query: func(p Params) string {
		var skip []string
		if p["delegation"] != "" {
			skip = append(skip, "WHEN "+ident(p["delegation"])+" IS NOT NULL THEN 'placeholder'")
		}
		if p["invalid"] != "" && p["refused"] != "keep" {
			skip = append(skip, "WHEN "+ident(p["invalid"])+" THEN 'disconnected'")
		}
		skips := ""
		if len(skip) > 0 {
			skips = "CASE " + strings.Join(skip, "\n    ") + " END AS skip"
		}
		subjectType := ""
		if p["team_id"] != "" {
			subjectType = `CASE WHEN "userId" IS NULL AND ` + ident(p["team_id"]) + " IS NOT NULL THEN 'app' ELSE 'user' END AS subject_type"
		}
		return selectSQL(tableSQL(p["table"]),
			"id AS key", "type AS provider", "key AS credential", optional(p["encrypted_key"], "encrypted_key"),
			subjectType, `"userId" AS subject_id`, optional(p["team_id"], "tenant"), skips)
	},
	Opener: func(_ context.Context, _ *DB, p Params, keys Keys) (source.Opener, error) {
		c, err := cipher.NewNodeAES(cipher.NodeAESOptions{Algorithm: "aes-256-cbc", Derive: "latin1", Layout: "iv:ct", Encoding: "hex"}, keys.ofLength("encryption_key", 32)...)
		if err != nil {
			return nil, err
		}
		o := &calcomOpener{cipher: c, inputs: []string{"credential"}}
		if p["encrypted_key"] != "" {
			o.inputs = append(o.inputs, "encrypted_key")
		}
		return o, nil
	},
}

// calcomOpener takes the tokens out of the document, or of its encrypted copy.
type calcomOpener struct {
	cipher cipher.Cipher
	inputs []string
}

func (o *calcomOpener) Inputs() []string { return o.inputs }

func (o *calcomOpener) Open(in source.Values) (source.Opened, error) {
	var out source.Opened
	d, isObject := parseDocument([]byte(in["credential"]))
	empty := isObject && len(d) == 0
	if d.text("access_token") != "" {
		out.Plain++
		out.Values = takeCalcom(d)
		return out, nil
	}
	// Google Meet has no tokens of its own, nor has their copy.
	if sealed := in["encrypted_key"]; sealed != "" && !(empty && in["provider"] == "google_video") {
		plain, err := o.cipher.Open(cipher.Value{Data: []byte(sealed)})
		switch {
		case err != nil && empty: // its tokens may be there, and nowhere else
			return out, fmt.Errorf("encryptedKey: %w", err)
		case err == nil:
			out.Decrypted++
			if copied, ok := parseDocument(plain); ok && copied.text("access_token") != "" {
				out.Values = takeCalcom(copied)
				return out, nil
			}
		}
	}
	out.Skip = skipNotOAuth
	if empty {
		out.Skip = skipPlaceholder
	}
	return out, nil
}

// takeCalcom takes the tokens out of a document. Apps count the expiry in
// milliseconds or in seconds, which its size tells.
func takeCalcom(d document) source.Values {
	return source.Values{
		"access_token": d.text("access_token"), "refresh_token": d.text("refresh_token"),
		"expires_at": d.text("expiry_date", "expiryDate", "expires_at"), "scopes": d.list("scope"), "name": d.text("email"),
	}
}
