package stores

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// openWebUI is Open WebUI: the sessions that its users have with identity
// providers and MCP tool servers, in the table oauth_session. Facts:
// backend/open_webui/models/oauth_sessions.py of open-webui/open-webui.
var openWebUI = &Store{
	Name: "open-webui", Aliases: []string{"openwebui"},
	Title:   "Open WebUI",
	Summary: "one encrypted token response per session in the table oauth_session; tool servers have providers such as mcp:<server>",
	Params: []Param{
		{Name: "table", Default: "oauth_session", Doc: "the table of sessions"},
	},
	Keys: []Key{{Name: "encryption_key", Env: "OAUTH_SESSION_TOKEN_ENCRYPTION_KEY",
		Doc: "the key; where the variable is not set, the value of WEBUI_SECRET_KEY, or of the file that stands for it. Former ones after it, separated by commas"}},
	Cipher: "Fernet (AES-128-CBC with HMAC-SHA256) of the whole token response, its key the text itself if that has 44 characters, else its SHA-256",
	Skips:  skips(skipNoToken, skipOlder),
	Warnings: []string{
		"Open WebUI keeps a session per sign-in: of several of a user with one provider, the newest is migrated.",
		"It refreshes tokens in place, and deletes rows that it cannot decrypt when it reads them: take a copy of the table if keys were lost.",
	},
	MissingExpiry: short(),
	Find: func(c *Catalogue, given Params) []Match {
		var matches []Match
		for _, t := range candidates(c, given, "id", "user_id", "provider", "token", "expires_at", "created_at", "updated_at") {
			if given["table"] == "" && (t.Type("expires_at") != "bigint" || t.Type("created_at") != "bigint" || t.First("access_token", "token_secret") != "") {
				continue
			}
			matches = append(matches, Match{Params: Params{"table": t.String()}, Variant: fmt.Sprintf("table %s", t.SQL()), Tables: []*Table{t}})
		}
		return matches
	},
	Query: func(p Params) string {
		table := tableSQL(p["table"])
		return selectSQL(table+" AS t",
			"t.id AS key", "t.provider", "t.token", "t.expires_at", "t.user_id AS subject_id",
			"CASE WHEN coalesce(t.token, '') = '' THEN 'no_token'"+
				"\n    WHEN EXISTS (SELECT FROM "+table+" AS n WHERE n.user_id = t.user_id AND n.provider = t.provider AND n.token <> ''"+
				" AND (coalesce(n.created_at, 0), n.id) > (coalesce(t.created_at, 0), t.id)) THEN 'older_copy' END AS skip")
	},
	Opener: func(_ context.Context, _ *DB, _ Params, keys Keys) (source.Opener, error) {
		c, err := cipher.NewFernet(cipher.FernetOpenWebUI, keys.anyText("encryption_key")...)
		if err != nil {
			return nil, err
		}
		return &documentOpener{cipher: c, column: "token", take: takeOpenWebUI}, nil
	},
}

// takeOpenWebUI takes the tokens out of a token response. Its own expiry goes
// before that of the column.
func takeOpenWebUI(text []byte, _ source.Values) (source.Values, source.Reason, error) {
	d, ok := parseDocument(text)
	if !ok || !strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		return nil, "", errors.New("token: it is neither encrypted nor a JSON object")
	}
	if d.text("access_token") == "" {
		return nil, skipNoToken, nil
	}
	values := source.Values{"access_token": d.text("access_token"), "refresh_token": d.text("refresh_token"), "scopes": d.list("scope")}
	if at := d.seconds("expires_at"); at > 0 {
		values["expires_at"] = unix(at)
	}
	if user, ok := d["userinfo"].(map[string]any); ok {
		values["external_subject"] = document(user).text("sub", "id")
	}
	return values, "", nil
}
