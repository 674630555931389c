package stores

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// twenty is Twenty's mail and calendar accounts of its users: since 2026 in one
// table, before in one a workspace. Facts: twentyhq/twenty, the connected account
// at 05d4b0a and, as one of a workspace's objects, at 01891838; its encryption at
// 41d2425; schema names by uuidToBase36 of twenty-shared.
var twenty = &Store{
	Name:    "twenty",
	Title:   "Twenty",
	Summary: `one row per mail or calendar account in core."connectedAccount" (older versions: in a table a workspace), encrypted since 2.4`,
	Params: []Param{
		{Name: "table", Default: `core."connectedAccount"`, Doc: "the table of accounts; of an older version all of them, separated by commas"},
		{Name: "users", Default: `core."userWorkspace"`, Doc: `the table that says which user an account's owner is (older: "workspaceMember" of each workspace); empty: the owner's id within the workspace is the user`},
		{Name: "columns", Default: strings.Join(twentyColumns, ","), Doc: "which of these columns the table has"},
	},
	Keys: []Key{
		{Name: "encryption_key", Env: "ENCRYPTION_KEY", Doc: "the key, or APP_SECRET where ENCRYPTION_KEY is not set"},
		{Name: "fallback_encryption_key", Env: "FALLBACK_ENCRYPTION_KEY", Doc: "the key of before, during a rotation", Needed: neverNeeded},
	},
	Cipher: "AES-256-GCM under a key for each workspace (HKDF-SHA256), as enc:v2:<key id>:<base64>",
	Skips:  skips(skipNotOAuth, skipDeleted, skipDisconnected, skipNoToken),
	Warnings: []string{
		"Twenty refreshes tokens in place: stop its server and workers before the last run, or run again for what changed since.",
		"Twenty keeps no expiry: a token is taken to end an hour after its last refresh, as Twenty itself does, or after the account's creation where it was never refreshed.",
	},
	MissingExpiry: short(),
	Find:          findTwenty,
	Query: func(p Params) string {
		tables := p.List("table")
		selects := make([]string, len(tables))
		for i, table := range tables {
			selects[i] = twentyQuery(p, table, len(tables) > 1)
		}
		return strings.Join(selects, "\nUNION ALL\n")
	},
	Opener: func(_ context.Context, _ *DB, _ Params, keys Keys) (source.Opener, error) {
		c, err := cipher.NewTwenty(keys["encryption_key"], keys["fallback_encryption_key"])
		if err != nil {
			return nil, err
		}
		o := openColumns(c)
		o.inputs = []string{"workspace_id"}
		return o, nil
	},
}

// twentyColumns differ between versions.
var twentyColumns = []string{"workspaceId", "userWorkspaceId", "accountOwnerId", "scopes", "lastCredentialsRefreshedAt", "createdAt", "authFailedAt", "deletedAt"}

const (
	twentyTable    = "connectedAccount"
	twentySchema   = "workspace_"
	twentyNewOwner = "userWorkspaceId"
	twentyOldOwner = "accountOwnerId"
)

func findTwenty(c *Catalogue, given Params) []Match {
	fits := func(t *Table) bool {
		return t != nil && t.Readable && t.Has("id", "handle", "provider", "accessToken", "refreshToken") && t.First(twentyNewOwner, twentyOldOwner) != ""
	}
	if given["table"] != "" {
		var tables []*Table
		for _, name := range given.List("table") {
			t := c.Table(name)
			if !fits(t) {
				return nil
			}
			tables = append(tables, t)
		}
		return twentyMatch(c, given, tables, nil)
	}
	var matches []Match
	var old []*Table
	for _, t := range c.Named(twentyTable) {
		if fits(t) && !t.Has(twentyNewOwner) && strings.HasPrefix(t.Schema, twentySchema) {
			old = append(old, t)
		}
	}
	for _, t := range c.Named(twentyTable) {
		if fits(t) && t.Has("workspaceId", twentyNewOwner) {
			matches = append(matches, twentyMatch(c, given, []*Table{t}, old)...)
		}
	}
	if len(matches) == 0 && len(old) > 0 {
		return twentyMatch(c, given, old, nil)
	}
	return matches
}

// twentyMatch returns the match for these tables, all of one age; left are those
// of before that are still there.
func twentyMatch(c *Catalogue, given Params, tables, left []*Table) []Match {
	p := Params{"users": ""}
	var names, columns []string
	for _, t := range tables {
		names = append(names, t.String())
	}
	for _, column := range twentyColumns {
		if !slices.ContainsFunc(tables, func(t *Table) bool { return !t.Has(column) }) {
			columns = append(columns, column)
		}
	}
	p["table"], p["columns"] = strings.Join(names, ", "), strings.Join(columns, ",")
	if !slices.Contains(columns, twentyNewOwner) && !slices.Contains(columns, twentyOldOwner) {
		return nil // tables of both ages
	}
	name, owner := "userWorkspace", twentyNewOwner
	if !slices.Contains(columns, twentyNewOwner) {
		name, owner = "workspaceMember", twentyOldOwner
	}
	users := 0
	for _, t := range tables {
		if other := c.Beside(t, name); other != nil && other.Readable && other.Has("id", "userId") {
			users++
			p["users"] = other.String()
		}
	}
	switch {
	case users < len(tables):
		p["users"] = ""
	case owner == twentyOldOwner:
		p["users"] = ident(name) // of each table's own schema
	}
	if given["users"] != "" && owner == twentyNewOwner {
		if t := c.Table(given["users"]); t == nil || !t.Readable || !t.Has("id", "userId") {
			return nil
		}
	}
	m := Match{Params: p, Tables: tables, Variant: "one table of all workspaces, " + tables[0].SQL()}
	switch {
	case len(tables) > 1:
		m.Variant = fmt.Sprintf("older, a table in each of %d workspaces", len(tables))
	case owner == twentyOldOwner:
		m.Variant = "older, one workspace, table " + tables[0].SQL()
	}
	if len(left) > 0 {
		m.Warnings = append(m.Warnings, fmt.Sprintf("%d tables of single workspaces are left from an older version and not read, %s for example", len(left), left[0].SQL()))
	}
	return []Match{m}
}

// twentyQuery reads one table. Of several, an account's key is made of its
// workspace's schema and its id, since copied workspaces share ids.
func twentyQuery(p Params, table string, several bool) string {
	columns := p.List("columns")
	has := func(name string) bool { return slices.Contains(columns, name) }
	from := tableSQL(table) + " AS a"
	schema, _ := splitName(table)
	workspace := `a."workspaceId"`
	if !has("workspaceId") {
		workspace = literal(twentyWorkspace(schema)) + "::text"
	}
	owner := twentyNewOwner
	users := tableSQL(p["users"])
	if !has(owner) {
		owner = twentyOldOwner
		users = sibling(table, "workspaceMember")
	}
	subject := "a." + ident(owner)
	if p["users"] != "" {
		from += "\nLEFT JOIN " + users + " AS u ON u.id = " + subject
		subject = `coalesce(u."userId"::text, ` + subject + "::text)"
	}
	key := "a.id AS key"
	if several {
		key = literal(schema) + "::text AS key,\n  a.id AS key_2"
	}
	var since []string
	for _, name := range []string{"lastCredentialsRefreshedAt", "createdAt"} {
		if has(name) {
			since = append(since, "a."+ident(name))
		}
	}
	expires := ""
	if len(since) > 0 {
		at := "coalesce(" + strings.Join(since, ", ") + ")"
		expires = "CASE WHEN " + at + " < '9999-01-01' THEN " + at + " + interval '1 hour' END AS expires_at"
	}
	scopes := ""
	if has("scopes") {
		scopes = "a.scopes"
	}
	return selectSQL(from, key,
		"a.provider::text AS provider", `a."accessToken" AS access_token`, `a."refreshToken" AS refresh_token`, expires,
		subject+" AS subject_id", workspace+" AS tenant", workspace+" AS workspace_id", scopes,
		"a.handle AS external_subject", "a.handle AS name",
		skipSQL(
			when(true, "a.provider::text NOT IN ('google', 'microsoft', 'app')", skipNotOAuth),
			when(has("deletedAt"), `a."deletedAt" IS NOT NULL`, skipDeleted),
			when(has("authFailedAt"), `a."authFailedAt" IS NOT NULL`, skipDisconnected),
			when(true, `coalesce(a."accessToken", '') = ''`, skipNoToken)))
}

// twentyWorkspace returns the id of the workspace whose schema it is: the name
// has it as a number to the base of 36. Another schema is returned as it is.
func twentyWorkspace(schema string) string {
	digits, ok := strings.CutPrefix(schema, twentySchema)
	n, valid := new(big.Int).SetString(digits, 36)
	if !ok || !valid || n.Sign() < 0 || n.BitLen() > 128 {
		return schema
	}
	id := fmt.Sprintf("%032x", n)
	return strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
}
