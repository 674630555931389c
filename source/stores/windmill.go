package stores

import (
	"context"
	"fmt"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// windmill is Windmill: OAuth variables, their accounts, and the keys of the
// workspaces, all in its database. Facts: windmill-common/src/variables.rs and the
// migrations of windmill-labs/windmill.
var windmill = &Store{
	Name:    "windmill",
	Title:   "Windmill",
	Summary: "one row per variable in the table variable, of which the OAuth ones hold encrypted access tokens; refresh tokens lie plain in the table account",
	Params: []Param{
		{Name: "table", Default: "variable", Doc: "the table of variables"},
		{Name: "accounts", Default: "account", Doc: "the table of accounts"},
		{Name: "workspace_keys", Default: "workspace_key", Doc: "the table of the workspaces' keys"},
		{Name: "refresh_error", Default: "refresh_error", Doc: "the column of accounts with the error of the last refresh, where there is one"},
		refusedParam, scopesParam,
	},
	Keys: []Key{{Name: "secret_salt", Env: "SECRET_SALT",
		Doc: "the instance's salt, where it has one; the workspaces' keys are read from the database. Former ones after it, separated by commas"}},
	Cipher: "AES-256-CBC with an IV of zeros and the SHA-256 of workspace key and salt (magic-crypt); not authenticated",
	Skips:  skips(skipNotOAuth, skipOtherForm, skipNoToken, skipDisconnected),
	Warnings: []string{
		"The key of each workspace is read from the database, and the access tokens are decrypted with it; SECRET_SALT, if the instance has one, is needed beside it.",
		"A token belongs to the user of its variable's path (u/<user>/...); those of folders and groups are imported as the app's own, with the workspace as tenant.",
		"Windmill refreshes tokens shortly before they end: stop it before the last pass. It keeps no scopes; give them in the parameter scopes.",
	},
	MissingExpiry: lasting("slack_oauth"),
	Find: func(c *Catalogue, given Params) []Match {
		var matches []Match
		for _, t := range candidates(c, given, "workspace_id", "path", "value", "is_secret", "account", "is_oauth") {
			accounts := companion(c, given, "accounts", t, "account", "workspace_id", "id", "client", "refresh_token", "expires_at")
			keys := companion(c, given, "workspace_keys", t, "workspace_key", "workspace_id", "kind", "key")
			if accounts == nil || keys == nil {
				continue
			}
			matches = append(matches, Match{
				Params: Params{"table": t.String(), "accounts": accounts.String(), "workspace_keys": keys.String(),
					"refresh_error": accounts.First(given.or("refresh_error", "refresh_error")...)},
				Variant: fmt.Sprintf("tables %s and %s", t.SQL(), accounts.SQL()),
				Tables:  []*Table{t, accounts},
			})
		}
		return matches
	},
	Query: func(p Params) string {
		// Slack's lasting tokens have no account that would name the provider.
		const provider = "coalesce(a.client, CASE WHEN v.path ILIKE '%slack%' THEN 'slack' END)"
		refused := ""
		if p["refresh_error"] != "" && p["refused"] != "keep" {
			// Until it ends, a token serves whatever became of its refresh.
			refused = "\n    WHEN a." + ident(p["refresh_error"]) + " <> '' AND a.expires_at < now() THEN 'disconnected'"
		}
		return selectSQL(tableSQL(p["table"])+" AS v LEFT JOIN "+tableSQL(p["accounts"])+" AS a ON a.workspace_id = v.workspace_id AND a.id = v.account",
			"v.workspace_id AS key", "v.path AS key_2", provider+" AS provider",
			"v.value AS access_token", "a.refresh_token", "a.expires_at",
			"CASE WHEN v.path LIKE 'u/%/%' THEN 'user' ELSE 'app' END AS subject_type",
			"CASE WHEN v.path LIKE 'u/%/%' THEN split_part(v.path, '/', 2) END AS subject_id",
			"v.workspace_id AS tenant", "v.path AS name", scopesSQL(p, provider),
			"v.is_secret::text AS is_secret",
			"(SELECT k.key FROM "+tableSQL(p["workspace_keys"])+" AS k WHERE k.workspace_id = v.workspace_id AND k.kind = 'cloud' LIMIT 1) AS workspace_key",
			"CASE WHEN v.is_oauth IS NOT TRUE THEN 'not_oauth'"+
				"\n    WHEN coalesce(v.value, '') = '' THEN 'no_token'"+
				"\n    WHEN v.is_secret AND v.value LIKE '$%' THEN 'not_offline'"+refused+" END AS skip")
	},
	Opener: func(_ context.Context, _ *DB, _ Params, keys Keys) (source.Opener, error) {
		c, err := cipher.NewWindmill(keys.anyText("secret_salt")...)
		if err != nil {
			return nil, err
		}
		o := openColumns(c)
		o.columns = []string{"access_token"}
		o.inputs = []string{"is_secret", "workspace_key"}
		return o, nil
	},
}
