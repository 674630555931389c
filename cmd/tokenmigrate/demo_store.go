package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/migrate/connect/sandbox"
)

//go:embed demo_store.sql
var demoStoreSQL string

// demoKind is one sort of account in the demo's store.
type demoKind struct {
	name     string // for the narration
	provider string // empty: slack
	of5000   int    // how many of 5,000 accounts, at least 1; 0: one demoRejected, and demoSlack all the rest
	outcome  string // how it must end in the checkpoint
	reason   string
}

// The kinds, which index demoKinds.
const (
	demoGitHub = iota
	demoSlack
	demoRefreshable
	demoLasting
	demoExpired
	demoNobody
	demoNoAccess
	demoNoExpiry
	demoDuplicate
	demoRefused
	demoRejected
	demoGoogle
)

var demoKinds = [...]demoKind{
	demoGitHub:      {name: "github, whose tokens never expire", provider: "github", of5000: 1800, outcome: "imported"},
	demoSlack:       {name: "slack", outcome: "imported"},
	demoRefreshable: {name: "slack, expired, with a refresh token", of5000: 300, outcome: "imported"},
	demoLasting:     {name: "slack, without a refresh token", of5000: 150, outcome: "imported"},
	demoExpired:     {name: "slack, expired, without a refresh token", of5000: 40, outcome: "skipped", reason: "expired"},
	demoNobody:      {name: "slack, of a user who was deleted", of5000: 12, outcome: "invalid", reason: "missing_subject"},
	demoNoAccess:    {name: "slack, without an access token", of5000: 8, outcome: "invalid", reason: "missing_access_token"},
	demoNoExpiry:    {name: "slack, without an expiry", of5000: 15, outcome: "invalid", reason: "missing_expiry"},
	demoDuplicate:   {name: "slack, a second one of the same user", of5000: 10, outcome: "invalid", reason: "duplicate"},
	demoRefused:     {name: "slack, which the endpoint will refuse", of5000: 6, outcome: "failed", reason: "refused"},
	demoRejected:    {name: "slack, which makes its whole call fail", outcome: "failed", reason: "rejected"},
	demoGoogle:      {name: "google, which is left out on purpose", provider: "google", of5000: 20, outcome: "skipped", reason: "excluded"},
}

// demoConnectors are those of demo_config.yaml.
var demoConnectors = map[string]string{"slack": "slack/acme", "github": "github/acme"}

// demoScopes are written as each provider answers them.
var demoScopes = map[string]string{"slack": "channels:read,chat:write", "github": "read:user,user:email", "google": "openid email"}

// demoAccount is one row of accounts, with what must become of it.
type demoAccount struct {
	id, user int // user: also the subject
	kind     int
	access   string // empty: NULL
	refresh  string // empty: NULL
	expires  int64  // Unix seconds; 0: NULL
}

func (a *demoAccount) provider() string {
	if p := demoKinds[a.kind].provider; p != "" {
		return p
	}
	return "slack"
}

// key is the account's key in the checkpoint.
func (a *demoAccount) key() string { return strconv.Itoa(a.id) }

// subject is what the endpoint knows its user by.
func (a *demoAccount) subject() string { return strconv.Itoa(a.user) }

// importable reports whether its token must be with the endpoint at the end.
func (a *demoAccount) importable() bool { return demoKinds[a.kind].outcome == "imported" }

// identity is what the endpoint keeps an importable account's token under.
func (a *demoAccount) identity() sandbox.Identity {
	return sandbox.Identity{
		Connector: demoConnectors[a.provider()], Environment: "production",
		Subject: sandbox.Subject{Type: "user", ID: a.subject()},
	}
}

// demoAccounts makes n accounts, in the order of their ids, from 1. Which of
// them is of which kind depends on n alone; the credentials are random.
func demoAccounts(n int, now time.Time) []demoAccount {
	kinds := demoPlaces(n)
	accounts := make([]demoAccount, n)
	for i, kind := range kinds {
		a := demoAccount{id: i + 1, user: i + 1, kind: kind, access: "xoxe.xoxp-1-" + rand.Text(), refresh: "xoxe-1-" + rand.Text()}
		a.expires = now.Add(12*time.Hour + time.Duration(i)*time.Second).Unix()
		switch kind {
		case demoGitHub:
			a.access, a.refresh, a.expires = "gho_"+rand.Text(), "", 0
		case demoGoogle:
			a.access = "ya29." + rand.Text()
		case demoRefreshable:
			a.expires = now.AddDate(0, -3, 0).Unix()
		case demoExpired:
			a.expires, a.refresh = now.AddDate(0, -3, 0).Unix(), ""
		case demoLasting:
			a.refresh = ""
		case demoNoAccess:
			a.access = ""
		case demoNoExpiry:
			a.expires = 0
		}
		accounts[i] = a
	}
	// A duplicate is of a user who has an account in the first half, each of
	// another one.
	owner := 0
	for i := range accounts {
		if accounts[i].kind != demoDuplicate {
			continue
		}
		for accounts[owner].kind != demoSlack {
			owner++
		}
		accounts[i].user = accounts[owner].user
		owner++
	}
	return accounts
}

// demoPlaces deals the kinds out to n places, at random and always alike. The
// duplicates and the one that is rejected lie in the second half, where the
// resumed run meets them.
func demoPlaces(n int) []int {
	kinds := make([]int, n)
	for i := range kinds {
		kinds[i] = demoSlack
	}
	random := mathrand.New(mathrand.NewPCG(1, uint64(n)))
	free := random.Perm(n)
	take := func(kind, count, from int) {
		for i := 0; i < len(free) && count > 0; i++ {
			if kinds[free[i]] == demoSlack && free[i] >= from {
				kinds[free[i]] = kind
				count--
			}
		}
	}
	take(demoRejected, 1, n*3/4)
	for kind, k := range demoKinds {
		switch {
		case k.of5000 == 0:
		case kind == demoDuplicate:
			take(kind, max(1, k.of5000*n/5000), n/2)
		default:
			take(kind, max(1, k.of5000*n/5000), 0)
		}
	}
	return kinds
}

// createDemoStore fills an empty database with the accounts, and a role reader
// that may do nothing but SELECT them.
func createDemoStore(ctx context.Context, url, readerPassword string, accounts []demoAccount) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return pgerr.Wrap("connect to the demo's store", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// rand.Text has no character that would have to be quoted.
	grants := fmt.Sprintf(`CREATE ROLE reader LOGIN PASSWORD '%s'; GRANT SELECT ON users, accounts TO reader;`, readerPassword)
	if _, err := conn.PgConn().Exec(ctx, demoStoreSQL+grants).ReadAll(); err != nil {
		return pgerr.Wrap("create the demo's tables", err)
	}
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"users"}, []string{"id", "name", "email"},
		pgx.CopyFromSlice(len(accounts), func(i int) ([]any, error) {
			a := &accounts[i]
			return []any{a.id, "User " + a.key(), "user" + a.key() + "@example.com"}, nil
		}))
	if err != nil {
		return pgerr.Wrap("fill the demo's users", err)
	}
	columns := []string{"id", "userId", "type", "provider", "providerAccountId", "refresh_token", "access_token", "expires_at", "scope", "token_type"}
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"accounts"}, columns, pgx.CopyFromSlice(len(accounts), func(i int) ([]any, error) {
		a := &accounts[i]
		return []any{
			a.id, a.user, "oauth", a.provider(), fmt.Sprintf("U%07d", a.id), orNil(a.refresh), orNil(a.access), orNil(a.expires),
			demoScopes[a.provider()], "bearer",
		}, nil
	}))
	if err != nil {
		return pgerr.Wrap("fill the demo's accounts", err)
	}
	var deleted []int
	for i := range accounts {
		if accounts[i].kind == demoNobody {
			deleted = append(deleted, accounts[i].user)
		}
	}
	if _, err := conn.Exec(ctx, `DELETE FROM users WHERE id = ANY($1)`, deleted); err != nil {
		return pgerr.Wrap("delete some of the demo's users", err)
	}
	_, err = conn.Exec(ctx, `ANALYZE users, accounts`)
	return pgerr.Wrap("analyze the demo's tables", err)
}

// orNil returns nil, for NULL, instead of a zero value.
func orNil[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// describeDemoStore lists how many accounts there are of each kind, and what
// must become of them.
func describeDemoStore(accounts []demoAccount) string {
	var count [len(demoKinds)]int
	for i := range accounts {
		count[accounts[i].kind]++
	}
	var b strings.Builder
	for kind, k := range demoKinds {
		end := demoEnding{k.outcome, k.reason}
		fmt.Fprintf(&b, "%5d  %-45s  %s\n", count[kind], k.name, end)
	}
	return b.String()
}

// demoSubjects returns the subjects of all accounts of a kind.
func demoSubjects(accounts []demoAccount, kind int) []string {
	var ids []string
	for i := range accounts {
		if accounts[i].kind == kind {
			ids = append(ids, accounts[i].subject())
		}
	}
	return ids
}

// accessHash is how the endpoint's audit names an access token.
func (a *demoAccount) accessHash() [32]byte { return sha256.Sum256([]byte(a.access)) }

// refreshHash likewise; zero where there is no refresh token.
func (a *demoAccount) refreshHash() [32]byte {
	if a.refresh == "" {
		return [32]byte{}
	}
	return sha256.Sum256([]byte(a.refresh))
}

// hashStore returns a hash over the store's tables.
func (d *demo) hashStore(ctx context.Context) (string, error) {
	conn, err := pgx.Connect(ctx, d.source)
	if err != nil {
		return "", pgerr.Wrap("connect to the store", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var hash string
	err = conn.QueryRow(ctx, `
		SELECT md5((SELECT string_agg(md5(a::text), '' ORDER BY id) FROM accounts a) ||
			(SELECT string_agg(md5(u::text), '' ORDER BY id) FROM users u))`).Scan(&hash)
	return hash, pgerr.Wrap("read the store", err)
}

// storeChanges tells whether the store is not as it was at the beginning.
func (d *demo) storeChanges(ctx context.Context) []string {
	switch now, err := d.hashStore(ctx); {
	case err != nil:
		return []string{err.Error()}
	case now != d.storeHash:
		return []string{"the store's rows have changed"}
	}
	return nil
}
