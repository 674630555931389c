package stores

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tokenmigrate/source"
)

// pythonSocialAuth is python-social-auth: the table social_auth_usersocialauth of
// social-app-django, all in one JSON column. Facts: models, migrations and
// storage code of social-app-django 5 and social-core 4.
var pythonSocialAuth = &Store{
	Name: "python-social-auth", Aliases: []string{"social-auth", "social-app-django"},
	Title:   "python-social-auth",
	Summary: "one row per linked account in social_auth_usersocialauth, its tokens in the JSON column extra_data, plain",
	Params: []Param{
		{Name: "table", Default: "social_auth_usersocialauth", Doc: "the table of accounts"},
		{Name: "modified", Default: "modified", Doc: "the column with the time of the row's last change, from which lifetimes count where auth_time is missing"},
		scopesParam,
	},
	Skips: skips(skipOAuth1, skipNoToken),
	Warnings: []string{
		"python-social-auth keeps scopes only where SOCIAL_AUTH_<BACKEND>_EXTRA_DATA names them; else give them in the parameter scopes.",
		"Tokens change at each sign-in, and where the app calls refresh_token(): stop that before the last pass.",
	},
	MissingExpiry: lasting("github-org", "github-team", "github-enterprise", "github-enterprise-org", "github-enterprise-team"),
	Find: func(c *Catalogue, given Params) []Match {
		var matches []Match
		for _, t := range candidates(c, given, "id", "provider", "uid", "extra_data", "user_id") {
			// Allauth's accounts have these columns, too.
			if given["table"] == "" && t.Has("last_login", "date_joined") || t.Has("access_token") {
				continue
			}
			kind := t.Type("extra_data")
			if kind != "jsonb" && kind != "json" && kind != "text" {
				continue
			}
			matches = append(matches, Match{
				Params:  Params{"table": t.String(), "modified": t.First(given.or("modified", "modified")...)},
				Variant: fmt.Sprintf("extra_data as %s, table %s", kind, t.SQL()),
				Tables:  []*Table{t},
			})
		}
		return matches
	},
	Query: func(p Params) string {
		modified := ""
		if p["modified"] != "" {
			m := ident(p["modified"])
			modified = "CASE WHEN isfinite(" + m + ") THEN floor(extract(epoch FROM " + m + "))::bigint END AS modified_at"
		}
		return selectSQL(tableSQL(p["table"]),
			"id AS key", "provider", "extra_data", modified, "user_id AS subject_id", "uid AS external_subject", scopesSQL(p, "provider"))
	},
	Opener: func(_ context.Context, _ *DB, p Params, _ Keys) (source.Opener, error) {
		o := &documentOpener{column: "extra_data", take: takeSocialAuth}
		if p["modified"] != "" {
			o.inputs = []string{"modified_at"}
		}
		return o, nil
	},
}

// takeSocialAuth takes the tokens out of extra_data.
func takeSocialAuth(text []byte, in source.Values) (source.Values, source.Reason, error) {
	d, ok := parseDocument(text)
	if !ok {
		return nil, "", errors.New("extra_data: it is not a JSON object")
	}
	if _, isObject := d["access_token"].(map[string]any); isObject || strings.Contains(d.text("access_token"), "oauth_token_secret=") {
		return nil, skipOAuth1, nil
	}
	if d.text("access_token") == "" {
		return nil, skipNoToken, nil
	}
	values := source.Values{
		"access_token": d.text("access_token"), "refresh_token": d.text("refresh_token"),
		"expires_at": unix(socialAuthExpiry(d, in["modified_at"])),
	}
	return withScopes(values, d.list("scope")), "", nil
}

// socialAuthExpiry returns when the access token ends, in seconds; 0 if that is
// not known. Three entries may tell, and those two that should be a lifetime hold
// a time with some providers: as the library does, what is longer than two years
// is taken for one.
func socialAuthExpiry(d document, modified string) int64 {
	const twoYears = 63_072_000
	if at := d.seconds("expires_on"); at > 0 {
		return at
	}
	n := d.seconds("expires_in", "expires")
	if n == 0 || n > twoYears {
		return n
	}
	since := d.seconds("auth_time")
	if since == 0 {
		since = seconds(modified)
	}
	if since == 0 {
		return 0
	}
	return since + n
}
