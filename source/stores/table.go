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
// looked for in camelCase and in lower case.
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
	{Param{Name: "owner_type", Doc: "the column with the type of a polymorphic owner; owners other than users are tenants of the app's own tokens"},
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
		if m, ok := o.match(c, f, given); ok && f.table.Readable {
			matches = append(matches, m)
		}
	}
	return matches
}

// match finds out the parameters for one table.
func (o *ownTable) match(c *Catalogue, f tableMatch, given Params) (Match, bool) {
	t := f.table
	p := Params{"table": t.String(), "provider_name": given["provider_name"], "subject_type": given["subject_type"], "timezone": given["timezone"]}.With(f.known)
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
	if p["owner_type"] != "" && p["user_id"] != "owner_id" && p["user_id"] != "ownerId" && given["owner_type"] == "" {
		p["owner_type"] = ""
	}
	if p["expires_in"] == "" && p["response"] == "" && given["issued_at"] == "" {
		p["issued_at"] = "" // nothing is counted from it
	}
	if variant != "" {
		variant += ", "
	}
	return Match{Params: p, Variant: fmt.Sprintf("%stable %s (%s)", variant, t.SQL(), tableReading(p)), Tables: []*Table{t}, Warnings: tableWarnings(p)}, true
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
	for _, name := range append(names, usual...) {
		for _, spelling := range []string{name, camel(name), strings.ReplaceAll(name, "_", "")} {
			if t.Has(spelling) && (col.unfit == nil || !col.unfit.MatchString(t.Type(spelling))) {
				return spelling
			}
		}
	}
	return ""
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

func tableWarnings(p Params) []string {
	var list []string
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
	tableExpiresIn = "expires_in"
	tableIssuedAt  = "issued_at"
)

// besideParams are the parameters for columns that hold a part of an encrypted
// value each: access_token_iv and so on.
func besideParams(parts ...string) []Param {
	docs := map[string]string{"iv": "the IV or nonce", "tag": "the authentication tag", "salt": "the salt"}
	var list []Param
	for _, part := range parts {
		for _, of := range besideColumns {
			list = append(list, Param{Name: of + "_" + part, Doc: "the column with " + docs[part] + " of " + of + ", where it has one of its own"})
		}
	}
	return list
}

var besideColumns = []string{"access_token", "refresh_token", "response"}

// findBeside sets the parameters of besideParams: to <column>_<part> in any
// spelling of its name, or to a column that is called only by one of the names of
// the part, which all columns share.
func findBeside(t *Table, p, given Params, part string, names ...string) bool {
	for _, of := range besideColumns {
		param, column := of+"_"+part, p[of]
		switch {
		case given[param] != "":
			if !t.Has(given[param]) {
				return false
			}
			p[param] = given[param]
		case column != "":
			var list []string
			for _, name := range append([]string{part}, names...) {
				for _, base := range []string{column, of, strings.TrimPrefix(column, "encrypted_"), strings.TrimSuffix(column, "_encrypted")} {
					list = append(list, base+"_"+name, camel(base+"_"+name))
				}
			}
			p[param] = t.First(slices.Concat(list, []string{part}, names)...)
		}
	}
	return true
}

// besideSQL selects the columns of findBeside, under the names of their
// parameters, and besideInputs lists them.
func besideSQL(p Params, parts ...string) []string {
	var list []string
	for _, input := range besideInputs(p, parts...) {
		list = append(list, optional(p[input], input))
	}
	return list
}

func besideInputs(p Params, parts ...string) []string {
	var list []string
	for _, param := range besideParams(parts...) {
		if p[param.Name] != "" {
			list = append(list, param.Name)
		}
	}
	return list
}

// beside returns the inputs of one column, by the names of the parts.
func beside(p Params, column string, parts ...string) map[string]string {
	with := map[string]string{}
	for _, part := range parts {
		if param := strings.TrimPrefix(column, "token_") + "_" + part; p[param] != "" {
			with[part] = param
		}
	}
	return with
}

// paramError says what is wrong with a parameter.
func paramError(name, problem string) error {
	return &source.ConfigError{Op: "read the parameters of the store", Problems: []string{"source.params." + name + ": " + problem}}
}

// tableQuery is Store.Query; more are columns for the cipher.
func tableQuery(p Params, more ...string) string {
	if p["table"] == "" { // told as an example
		p = p.With(Params{"table": "your_table", "key": "id", "provider": "provider", "access_token": "access_token", "refresh_token": "refresh_token",
			"expires_at": "expires_at", "user_id": "user_id", "scopes": "scopes"})
	}
	provider := "NULL::text AS provider"
	if p["provider_name"] != "" {
		provider = literal(p["provider_name"]) + "::text AS provider"
	} else if p["provider"] != "" {
		provider = ident(p["provider"]) + "::text AS provider" // it may be an enum, which a filter cannot compare
	}
	columns := []string{keySQL(p.List("key")), provider, tokenSQL(p, "access_token"), tokenSQL(p, "refresh_token"),
		optional(p["response"], tableResponse)}
	for _, input := range tableTimes(p) {
		columns = append(columns, ident(p[strings.TrimSuffix(input, "_text")])+"::text AS "+input)
	}
	if !slices.Contains(tableTimes(p), tableExpiresAt) {
		columns = append(columns, optional(p["expires_at"], "expires_at"))
	}
	columns = append(columns, optional(p["refresh_token_expires_at"], "refresh_token_expires_at"))
	columns = append(columns, tableOwner(p)...)
	columns = append(columns, optional(p["external_subject"], "external_subject"), optional(p["scopes"], "scopes"), optional(p["name"], "name"), optional(p["environment"], "environment"))
	columns = append(columns, more...)
	return selectSQL(tableSQL(p["table"]), append(columns, tableSkip(p))...)
}

// tokenSQL selects a token. Where it is a JSON object of iv, tag and the like, the
// column's type may be JSON.
func tokenSQL(p Params, name string) string {
	if p[name] != "" && p["layout"] == "json" {
		return ident(p[name]) + "::text AS " + name
	}
	return optional(p[name], name)
}

// tableTimes lists the inputs from which the Opener makes the expiry: none where
// expires_at as it is tells all.
func tableTimes(p Params) []string {
	var inputs []string
	if p["expires_at"] != "" && (p["timezone"] != "" || p["expires_in"] != "" || p["response"] != "") {
		inputs = append(inputs, tableExpiresAt)
	}
	if p["expires_in"] != "" {
		inputs = append(inputs, tableExpiresIn)
	}
	if p["issued_at"] != "" && (p["expires_in"] != "" || p["response"] != "") {
		inputs = append(inputs, tableIssuedAt)
	}
	return inputs
}

// tableOwner selects whose a row's token is.
func tableOwner(p Params) []string {
	id, tenant := optional(p["user_id"], "subject_id"), optional(p["tenant"], "tenant")
	if kind := p["subject_type"]; kind == "app" || kind == "user" {
		return []string{id, literal(kind) + "::text AS subject_type", tenant}
	} else if kind != "" {
		return []string{id, ident(kind) + "::text AS subject_type", tenant}
	}
	switch {
	case p["user_id"] == "":
		return []string{"'app'::text AS subject_type", tenant}
	case p["owner_type"] == "":
		return []string{id, tenant}
	}
	isUser := "coalesce(" + ident(p["owner_type"]) + `::text, 'User') ~* '(^|[^a-z])users?$'`
	if tenant = "NULL"; p["tenant"] != "" {
		tenant = ident(p["tenant"]) + "::text"
	}
	return []string{id, "CASE WHEN " + isUser + " THEN 'user' ELSE 'app' END AS subject_type",
		"CASE WHEN " + isUser + " THEN " + tenant + " ELSE " + ident(p["user_id"]) + "::text END AS tenant"}
}

// tableSkip selects why a row is left out, as far as its columns tell.
func tableSkip(p Params) string {
	const none = "('', 'false', 'f', 'no', '0')"
	text := func(name string) string { return "coalesce(" + ident(p[name]) + "::text, '')" }
	var skip []string
	if p["deleted_at"] != "" {
		skip = append(skip, "WHEN "+text("deleted_at")+" NOT IN "+none+" THEN 'deleted'")
	}
	if p["revoked_at"] != "" {
		skip = append(skip, "WHEN "+text("revoked_at")+" NOT IN "+none+" THEN 'disconnected'")
	}
	if p["oauth1_secret"] != "" {
		no := ""
		if p["refresh_token"] != "" {
			no = " AND " + text("refresh_token") + ` IN ('', '\x')`
		}
		skip = append(skip, "WHEN "+text("oauth1_secret")+` NOT IN ('', '\x')`+no+" THEN 'oauth1'")
	}
	if p["response"] == "" {
		skip = append(skip, "WHEN "+text("access_token")+` IN ('', '\x') THEN 'no_token'`)
	}
	if len(skip) == 0 {
		return "NULL::text AS skip"
	}
	return "CASE " + strings.Join(skip, "\n    ") + " END AS skip"
}
