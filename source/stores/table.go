package stores

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"tokenmigrate/source"
)

// ownTable is what the stores share whose table is the app's own: every column
// is a parameter, and what is not given is found by the names that apps use.
type ownTable struct {
	// usual are column names by parameter that go before those of tableColumns.
	usual map[string][]string
	// recognise returns tables that follow a convention clear enough to be found
	// without a parameter, each with the parameters that tell it from another; nil:
	// table must be given.
	recognise func(c *Catalogue) []tableMatch
	// settle sets the parameters beyond those of tableColumns by what the table
	// shows, and may change these. It reports false for a table that is not of this
	// kind. May be nil.
	settle func(c *Catalogue, t *Table, p, given Params) (variant string, ok bool)
}

// tableMatch is a table, and what is already known of how to read it.
type tableMatch struct {
	table *Table
	known Params
}

// tableColumn is a parameter that names a column.
type tableColumn struct {
	param Param
	usual []string       // the names it is found by; nil: it must be given
	unfit *regexp.Regexp // types that a column found by its name must not have
}

var (
	notIDs    = regexp.MustCompile(`^(boolean|jsonb?|bytea|date|real|numeric|double precision|time.*|interval)$|\[\]$`)
	notTokens = regexp.MustCompile(`^(boolean|smallint|integer|bigint|numeric|uuid|date|real|double precision|time.*|interval)$|\[\]$`)
	notTimes  = regexp.MustCompile(`^(boolean|jsonb?|uuid|bytea|date|interval|time with.*)$|\[\]$`)
	notTexts  = regexp.MustCompile(`^(boolean|jsonb?|bytea|date|time.*|interval)$|\[\]$`)
	notLists  = regexp.MustCompile(`^(boolean|smallint|integer|bigint|numeric|uuid|date|bytea|real|double precision|time.*|interval)$`)
)

// tableColumns are the columns of apps' own tables. snake_case names are also
// looked for in camelCase and in lower case, and then in any case.
var tableColumns = []tableColumn{
	{Param{Name: "provider", Doc: "the column with the provider"},
		[]string{"provider", "provider_name", "provider_key", "provider_slug", "oauth_provider", "integration", "integration_type", "service", "service_name", "platform", "vendor"}, notTexts},
	{Param{Name: "user_id", Doc: "the column with the user's id; without one all tokens are the app's, of their tenants"},
		[]string{"user_id", "owner_id", "member_id", "profile_id", "customer_id"}, notIDs},
	{Param{Name: "access_token", Doc: "the column with the access token"},
		[]string{"access_token", "oauth_access_token", "access_token_encrypted", "encrypted_access_token", "access_token_enc", "enc_access_token", "access_token_ciphertext",
			"oauth_token", "provider_token", "provider_access_token", "token", "encrypted_token", "token_encrypted"}, notTokens},
	{Param{Name: "refresh_token", Doc: "the column with the refresh token"},
		[]string{"refresh_token", "oauth_refresh_token", "refresh_token_encrypted", "encrypted_refresh_token", "refresh_token_enc", "enc_refresh_token", "refresh_token_ciphertext",
			"provider_refresh_token"}, notTokens},
	{Param{Name: "expires_at", Doc: "the column with the access token's expiry: a timestamp, or seconds or milliseconds since 1970"},
		[]string{"expires_at", "token_expires_at", "access_token_expires_at", "oauth_expires_at", "oauth_token_expires_at", "provider_token_expires_at", "expiry_date", "expires_on", "expiry",
			"token_expiry", "access_token_expiry", "access_token_expired_at", "token_expiration", "access_token_expiration", "expiration", "expires"}, notTimes},
	{Param{Name: "refresh_token_expires_at", Doc: "the column with the refresh token's expiry"},
		[]string{"refresh_token_expires_at", "refresh_expires_at", "refresh_token_expiry", "refresh_token_expired_at", "refresh_token_expiration"}, notTimes},
	{Param{Name: "expires_in", Doc: "the column with the access token's lifetime in seconds, from issued_at on"},
		[]string{"expires_in", "token_expires_in"}, notTimes},
	{Param{Name: "issued_at", Doc: "the column with the time from which expires_in counts, and that of response"},
		[]string{"issued_at", "obtained_at", "token_issued_at", "token_updated_at", "refreshed_at", "last_refreshed_at", "updated_at", "created_at"}, notTimes},
	{Param{Name: "scopes", Doc: "the column with the granted scopes: text, an array, or JSON"},
		[]string{"scopes", "scope", "granted_scopes", "oauth_scopes", "approved_scopes"}, notLists},
	{Param{Name: "external_subject", Doc: "the column with the provider's id of the account"},
		[]string{"provider_account_id", "provider_user_id", "provider_uid", "external_account_id", "external_user_id", "external_id", "remote_user_id", "remote_id", "uid"}, notIDs},
	{Param{Name: "tenant", Doc: "the column with the id of the organisation, workspace or team"},
		[]string{"tenant_id", "organization_id", "organisation_id", "org_id", "workspace_id", "team_id", "company_id"}, notIDs},
	{Param{Name: "name", Doc: "the column with the connection's name"},
		[]string{"account_name", "display_name", "connection_name", "label"}, notTexts},
	{Param{Name: "environment", Doc: "the column with development, preview, production or env_..."}, nil, nil},
	{Param{Name: "response", Doc: "the column with the provider's whole token response as JSON, encrypted or not; looked for where there is no access_token"},
		[]string{"token_response", "oauth_response", "token_data", "oauth_token_data", "oauth_data", "credentials", "oauth_credentials", "tokens", "oauth_tokens"}, notTokens},
	{Param{Name: "owner_type", Doc: "the column with the type of a polymorphic owner; owners other than users are tenants of the app's own tokens, as <type>/<id>"},
		[]string{"owner_type", "user_type"}, notTexts},
	{Param{Name: "deleted_at", Doc: "the column that marks deleted rows: a time, or true"},
		[]string{"deleted_at", "is_deleted", "deleted", "discarded_at", "archived_at"}, nil},
	{Param{Name: "revoked_at", Doc: "the column that marks revoked or disconnected grants: a time, or true"},
		[]string{"revoked_at", "revoked", "is_revoked", "disconnected_at"}, nil},
	{Param{Name: "oauth1_secret", Doc: "the column with OAuth 1's token secret; rows that have one and no refresh token are left out"},
		[]string{"access_token_secret", "oauth_token_secret", "token_secret"}, notTokens},
}

// params returns the parameters of a store in a table of the app's own; own are
// those of its cipher.
func (o *ownTable) params(own ...Param) []Param {
	list := []Param{
		{Name: "table", Doc: "the table"},
		{Name: "key", Doc: "its key: one column, or two separated by a comma"},
		{Name: "provider_name", Doc: "the provider of all rows, where no column tells it"},
		{Name: "subject_type", Doc: "user, app, or the column that says which"},
		{Name: "user_types", Doc: "the types of polymorphic owners that are users, separated by commas; empty: User, and what ends in ::User, such as Admin::User"},
		{Name: "timezone", Doc: "the zone of timestamps without one, such as Europe/Berlin; empty: UTC"},
	}
	for _, c := range tableColumns {
		list = append(list, c.param)
	}
	return append(list, own...)
}

// tableSkips are the reasons that any table of an app's own may give.
func tableSkips() map[source.Reason]string {
	return skips(skipOAuth1, skipNoToken, skipDeleted, skipDisconnected)
}

// find is Store.Find.
func (o *ownTable) find(c *Catalogue, given Params) []Match {
	var found []tableMatch
	switch {
	case given["table"] != "":
		if t := c.Table(given["table"]); t != nil {
			found = []tableMatch{{t, nil}}
		}
	case o.recognise != nil:
		found = o.recognise(c)
	}
	var matches []Match
	for _, f := range found {
		differs := func(name string) bool { return given[name] != "" && given[name] != f.known[name] }
		if slices.ContainsFunc(slices.Collect(maps.Keys(f.known)), differs) {
			continue
		}
		if m, ok := o.match(c, f, given); ok {
			matches = append(matches, m)
		}
	}
	return matches
}

// match finds out the parameters for one table.
func (o *ownTable) match(c *Catalogue, f tableMatch, given Params) (Match, bool) {
	t := f.table
	p := Params{"table": t.String(), "provider_name": given["provider_name"], "subject_type": given["subject_type"], "timezone": given["timezone"], "user_types": given["user_types"]}.With(f.known)
	for _, col := range tableColumns {
		name := col.param.Name
		if want := given[name]; want != "" {
			if !t.Has(want) {
				return Match{}, false
			}
			p[name] = want
		} else if _, known := f.known[name]; !known {
			p[name] = o.column(t, col, p["provider_name"])
		}
	}
	twins := tableTwins(t, p, given)
	if p["provider_name"] != "" {
		p["provider"] = ""
	}
	if p["user_id"] == "" && slices.Contains([]string{"users", "user", "User"}, t.Name) {
		p["user_id"] = "id"
	}
	variant := ""
	if o.settle != nil {
		var ok bool
		if variant, ok = o.settle(c, t, p, given); !ok {
			return Match{}, false
		}
	}
	p["key"] = tableKey(t, p, given)
	if p["response"] != "" && given["response"] == "" && p["access_token"] != "" {
		p["response"] = ""
	}
	if p["access_token"] == p["refresh_token"] && p["access_token"] != "" || p["access_token"] == "" && p["response"] == "" || p["key"] == "" ||
		p["user_id"] == "" && p["tenant"] == "" && p["subject_type"] == "" || slices.ContainsFunc(p.List("key"), func(k string) bool { return !t.Has(k) }) {
		return Match{}, false
	}
	if p["owner_type"] != "" && fold(p["user_id"]) != "ownerid" && given["owner_type"] == "" {
		p["owner_type"] = ""
	}
	if p["expires_in"] == "" && p["response"] == "" && given["issued_at"] == "" {
		p["issued_at"] = "" // nothing is counted from it
	}
	if variant != "" {
		variant += ", "
	}
	return Match{Params: p, Variant: fmt.Sprintf("%stable %s (%s)", variant, t.SQL(), tableReading(p)), Tables: []*Table{t}, Warnings: append(tableWarnings(p, given), twins...)}, true
}

// column finds the column of a parameter. Where all rows are of one provider,
// names that begin with it go first: github_token.
func (o *ownTable) column(t *Table, col tableColumn, provider string) string {
	var names []string
	usual := slices.Concat(o.usual[col.param.Name], col.usual)
	if provider != "" {
		for _, name := range usual {
			names = append(names, provider+"_"+name)
		}
		if col.param.Name == "external_subject" {
			names = append(names, provider+"_id")
		}
	}
	fits := func(column string) bool { return col.unfit == nil || !col.unfit.MatchString(t.Type(column)) }
	names = append(names, usual...)
	for _, name := range names {
		for _, spelling := range []string{name, camel(name), strings.ReplaceAll(name, "_", "")} {
			if t.Has(spelling) && fits(spelling) {
				return spelling
			}
		}
	}
	for _, name := range names { // "ExpiresAt", "EXPIRES_AT"
		for _, c := range t.Columns {
			if fold(c.Name) == fold(name) && fits(c.Name) {
				return c.Name
			}
		}
	}
	return ""
}

// tableTwins settles tokens of which the table has two columns, one plain and one
// encrypted, as it is while an app moves from one to the other: the encrypted one is
// read, unless nothing is encrypted. It returns warnings that say so.
func tableTwins(t *Table, p, given Params) (warnings []string) {
	clear := given["algorithm"] == "none" || given["flavour"] == railsPlain
	for _, name := range []string{"access_token", "refresh_token"} {
		read := p[name]
		if read == "" || given[name] != "" {
			continue
		}
		bare := tableBareName(read)
		i := slices.IndexFunc(t.Columns, func(c Column) bool {
			return c.Name != read && tableBareName(c.Name) == bare && !notTokens.MatchString(t.Type(c.Name))
		})
		if i < 0 {
			continue
		}
		twin := t.Columns[i].Name
		if (read == bare) != clear {
			read, twin = twin, read
		}
		p[name] = read
		warnings = append(warnings, "The table has both "+read+" and "+twin+", and "+read+" is read: where that is empty and "+twin+
			" is not, its rows are left out. Let the app's own migration finish first, or set the parameter "+name+".")
	}
	return warnings
}

var encryptedName = regexp.MustCompile(`^(encrypted|enc)_|_(encrypted|enc|ciphertext)$|^(encrypted|enc)([A-Z])|(Encrypted|Enc|Ciphertext)$`)

// tableBareName returns a column's name without what says that it is encrypted.
func tableBareName(column string) string {
	bare := encryptedName.ReplaceAllString(column, "$4")
	if bare != column && bare != "" {
		bare = strings.ToLower(bare[:1]) + bare[1:]
	}
	return bare
}

// camel returns a snake_case name in camelCase.
func camel(name string) string {
	parts := strings.Split(name, "_")
	for i := 1; i < len(parts); i++ {
		if parts[i] != "" {
			parts[i] = strings.ToUpper(parts[i][:1]) + parts[i][1:]
		}
	}
	return strings.Join(parts, "")
}

// tableKey returns the columns that tell rows apart: id, another column that is
// unique, or the owner and the provider.
func tableKey(t *Table, p, given Params) string {
	if given["key"] != "" {
		return given["key"]
	}
	for _, wanted := range []func(Column) bool{
		func(c Column) bool { return c.Key && strings.EqualFold(c.Name, "id") },
		func(c Column) bool { return c.Key },
		func(c Column) bool { return strings.EqualFold(c.Name, "id") }, // of a view
	} {
		for _, c := range t.Columns {
			if wanted(c) && !notIDs.MatchString(t.Type(c.Name)) && !tableIsToken(p, c.Name) {
				return c.Name
			}
		}
	}
	owner := p["user_id"]
	if owner == "" {
		owner = p["tenant"]
	}
	for _, second := range []string{p["provider"], p["external_subject"]} {
		if a, _ := t.Column(owner); a.NotNull && second != "" {
			if b, _ := t.Column(second); b.NotNull {
				return owner + "," + second
			}
		}
	}
	return ""
}

// tableIsToken reports whether a column holds a credential: such a one is no key,
// though it may be unique, since keys are printed.
func tableIsToken(p Params, column string) bool {
	return slices.Contains([]string{p["access_token"], p["refresh_token"], p["response"], p["oauth1_secret"]}, column)
}

// tableReading tells in few words what is read from where.
func tableReading(p Params) string {
	var parts []string
	for _, name := range []string{"provider_name", "provider", "access_token", "refresh_token", "response", "expires_at", "expires_in", "user_id", "tenant"} {
		switch {
		case p[name] == "":
		case p[name] == name:
			parts = append(parts, name)
		default:
			parts = append(parts, name+": "+p[name])
		}
	}
	return strings.Join(parts, ", ")
}

func tableWarnings(p, given Params) []string {
	var list []string
	at := p["issued_at"]
	guessed := slices.Contains([]string{"updatedat", "createdat"}, strings.ToLower(strings.ReplaceAll(at, "_", "")))
	if guessed && given["issued_at"] == "" && p["expires_at"] == "" {
		list = append(list, "Lifetimes in seconds are counted from "+at+": wherever that is not when the token was issued, its expiry is wrong. Set the parameter issued_at if another column tells it.")
	}
	if p["owner_type"] != "" && p["subject_type"] == "" && p["user_types"] == "" {
		list = append(list, "Tokens of owners whose "+p["owner_type"]+" is not User become the app's own, of the tenant <type>/<id>: look which types there are, and name those that are users in the parameter user_types.")
	}
	if p["expires_at"] == "" && p["expires_in"] == "" && p["response"] == "" {
		list = append(list, "The table has no column with an expiry: set source.missing_expiry, to a short time such as 1h where there are refresh tokens.")
	}
	if p["provider"] == "" && p["provider_name"] == "" {
		list = append(list, "The table has no column with a provider: set the parameter provider_name, or one connector for all rows.")
	}
	if p["user_id"] == "" && p["subject_type"] == "" {
		list = append(list, "The table has no column with a user: all tokens become the app's own, each of its tenant.")
	}
	return list
}

// Inputs of a tableOpener, as tableQuery names them.
const (
	tableResponse  = "token_response"
	tableExpiresAt = "expires_at_text"
	tableRefreshAt = "refresh_token_expires_at_text"
	tableExpiresIn = "expires_in"
	tableIssuedAt  = "issued_at"
)

// paramError says what is wrong with a parameter.
func paramError(name, problem string) error {
	return &source.ConfigError{Op: "read the parameters of the store", Problems: []string{"source.params." + name + ": " + problem}}
}
