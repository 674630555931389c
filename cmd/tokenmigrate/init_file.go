package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tokenmigrate/source/stores"
)

// starter writes the starter configuration: for the first store that was found,
// else for the first draft.
type starter struct {
	strings.Builder
	survey    *stores.Survey
	variables []string // that the file takes values from
}

// line writes a line, indented by so many levels.
func (f *starter) line(level int, format string, args ...any) {
	fmt.Fprintf(f, strings.Repeat("  ", level)+format+"\n", args...)
}

// variable returns a reference to an environment variable, and remembers it.
func (f *starter) variable(name string) string {
	if !slices.Contains(f.variables, name) {
		f.variables = append(f.variables, name)
	}
	return "${" + name + "}"
}

// write writes the whole file.
func (f *starter) write() {
	s := f.survey
	f.line(0, "# Made by `tokenmigrate init` from database %s. Name the connectors under", oneLine(s.Database))
	f.line(0, "# destination; then: tokenmigrate check, dry-run, run. The source is only read.")
	f.line(0, "migration: %s", yamlText(migrationFor(s.Database)))
	f.line(0, "")
	f.line(0, "source:")
	f.line(1, "url: %s", f.variable(sourceVariable))
	var counts stores.Counts
	if s.First == nil {
		counts = s.Found[0].Counts
		f.store(s.Found[0])
		f.others(s.Found[1:])
	} else {
		counts = s.First.Counts
		f.draft(s.First)
		f.others(s.Found)
	}
	f.line(0, "")
	f.destination(counts)
	f.line(0, "")
	f.line(0, "# Where the migration remembers what became of every token.")
	f.line(0, "checkpoint:")
	f.line(1, "url: %s   # may be the source's database; the first run makes its tables", f.variable("CHECKPOINT_DATABASE_URL"))
}

// store writes what of the source is a store's.
func (f *starter) store(found *stores.Found) {
	f.line(1, "# %s: %s", found.Store.Title, oneLine(found.Match.Variant))
	if len(found.Except) > 0 {
		f.line(1, "# Recognised by its other columns: see that params name the right ones in place of %s.", oneLine(strings.Join(found.Except, ", ")))
	}
	f.line(1, "store: %s", yamlText(found.Store.Name))
	f.params(found, "")
	f.decrypt(found)
	if len(found.Unreadable) == 0 {
		f.missingExpiry(found)
	}
}

// params writes a store's parameters; prefix makes them a comment.
func (f *starter) params(found *stores.Found, prefix string) {
	if len(found.Params) == 0 {
		return
	}
	f.line(1, "%sparams:", prefix)
	for _, p := range found.Store.AllParams() {
		if value, ok := found.Params[p.Name]; ok {
			f.line(1, "%s  %s: %s", prefix, p.Name, yamlText(value))
		}
	}
}

// decrypt writes the store's keys: those that values were seen to call for, the
// others as comments.
func (f *starter) decrypt(found *stores.Found) {
	s, needed := found.Store, found.Sample.Keys
	if len(s.Keys) == 0 {
		return
	}
	before := "" // the key's lines
	if len(needed) == 0 {
		before = "# "
		f.line(1, "# %s", decryptWords(found))
	}
	f.line(1, "%sdecrypt:", before)
	for _, wanted := range []bool{true, false} { // keys before comments
		for _, k := range s.Keys {
			if needed[k.Name] != wanted {
				continue
			}
			variable := k.Env
			if variable == "" {
				variable = strings.ToUpper(k.Name)
			}
			switch {
			case wanted:
				f.line(2, "%s: %s   # %s", k.Name, f.variable(variable), oneLine(k.Doc))
			case before == "":
				f.line(2, "# %s: ${%s}   # %s", k.Name, variable, oneLine(k.Doc))
			default:
				f.line(1, "#   %s: ${%s}   # %s", k.Name, variable, oneLine(k.Doc))
			}
		}
	}
}

// decryptWords says why no key is asked for.
func decryptWords(found *stores.Found) string {
	switch {
	case found.Sample.Locked > 0:
		return "Values are encrypted. Give the keys that open them:"
	case found.Sample.Encrypted > 0:
		return "Values are encrypted, and opened with what the database holds. If some do not:"
	case found.Sample.Plain > 0:
		return "Of " + plural(int64(found.Sample.Rows), "row") + " looked at no value is encrypted. If some are:"
	}
	return "Whether values are encrypted was not to be seen. If they are:"
}

// missingExpiry spells out what becomes of tokens without a known expiry, where
// there are any or might be.
func (f *starter) missingExpiry(found *stores.Found) {
	c, own := found.Counts, found.Store.MissingExpiry
	without := map[string]int64{}
	for _, p := range c.Providers {
		if n := max(p.NoExpiry, int64(found.Sample.NoExpiry[p.Provider])); n > 0 {
			without[p.Provider] = n
		}
	}
	unseen := !c.HasExpiry && found.Sample.Encrypted > 0
	if len(without) == 0 && !unseen {
		return
	}
	f.line(1, "# How long a token without a known expiry is taken to last; reject leaves it out.")
	if len(own.ByProvider) == 0 && len(without) == 0 {
		f.line(1, "missing_expiry: %s", expiryText(own.Default))
		return
	}
	f.line(1, "missing_expiry:")
	names := map[string]bool{}
	for provider := range own.ByProvider {
		names[provider] = without[provider] > 0 || unseen || !c.Exact
	}
	for provider := range without {
		names[provider] = provider != "" && provider != "default"
	}
	for _, provider := range slices.Sorted(maps.Keys(names)) {
		if !names[provider] {
			continue
		}
		comment := ""
		if n := without[provider]; n > 0 {
			comment = "   # " + plural(n, "token")
		}
		f.line(2, "%s: %s%s", yamlKey(provider), expiryText(ownExpiry(found.Store, provider)), comment)
	}
	f.line(2, "default: %s", expiryText(own.Default))
}

// ownExpiry is how long a store takes a provider's tokens without expiry to last;
// 0: it rejects them.
func ownExpiry(s *stores.Store, provider string) time.Duration {
	if d, ok := s.MissingExpiry.ByProvider[provider]; ok {
		return d
	}
	return s.MissingExpiry.Default
}

func expiryText(d time.Duration) string {
	if d == 0 {
		return "reject"
	}
	return showDuration(d)
}

// others writes the other places as comments.
func (f *starter) others(found []*stores.Found) {
	for _, o := range found {
		f.line(1, "# Also there, for a migration of its own (init --store %s --table %s): %s, %s, %s", o.Store.Name, oneLine(o.Match.Tables[0].String()), o.Store.Title, oneLine(o.Match.Variant), otherCount(o))
		f.line(1, "# store: %s", o.Store.Name)
		f.params(o, "# ")
	}
}

func otherCount(o *stores.Found) string {
	switch {
	case len(o.Unreadable) > 0:
		return "not readable"
	case o.Counts.Of == 0:
		return "not counted"
	}
	return plural(o.Counts.Tokens(), "token")
}

// draft writes a drafted query.
func (f *starter) draft(d *stores.Draft) {
	f.line(1, "# A draft, made of column names alone: see that each column is what it is taken for.")
	for _, note := range d.Notes {
		f.line(1, "# %s", oneLine(note))
	}
	if d.Store != nil {
		f.sealed(d)
	} else {
		f.query(d)
	}
	var without int64
	for _, p := range d.Counts.Providers {
		without += p.NoExpiry
	}
	comment := "tokens without a known expiry are rejected; or how long they last, such as 12h"
	if without > 0 || d.Counts.Of > 0 && !d.Counts.HasExpiry {
		if !d.Counts.HasExpiry {
			without = d.Counts.Tokens()
		}
		comment = plural(without, "token") + " without a known expiry: say how long they last, such as 12h or 3650d"
	}
	f.line(1, "missing_expiry: reject   # %s", comment)
}

// sealed writes the store that opens what a draft's table has encrypted.
func (f *starter) sealed(d *stores.Draft) {
	found := &stores.Found{Store: d.Store, Params: d.Params}
	found.Sample.Keys = d.Keys
	f.line(1, "# Its values are taken to be encrypted (%s),", oneLine(d.Sealed))
	f.line(1, "# so this is a store that opens them. How your code encrypts stands in params: see")
	f.line(1, "# `tokenmigrate stores %s`. `tokenmigrate check` tells whether they open.", d.Store.Name)
	if p, ok := d.Store.Param("algorithm"); ok && slices.Contains(p.Choices, "none") {
		f.line(1, "# If they stand in the clear after all: algorithm: none, and no decrypt.")
	}
	f.line(1, "store: %s", d.Store.Name)
	f.params(found, "")
	f.decrypt(found)
}

// query writes a drafted query.
func (f *starter) query(d *stores.Draft) {
	if d.Sealed != "" {
		f.line(1, "# Its values are encrypted (%s), and no store here opens them. What", oneLine(d.Sealed))
		f.line(1, "# a key service encrypted has to be read through a view or copy that holds it decrypted.")
	} else if len(d.Stores) > 0 {
		var names []string
		for _, store := range d.Stores {
			names = append(names, store.Name)
		}
		f.line(1, "# A query opens nothing. If the values are encrypted, name a store that opens them instead,")
		f.line(1, "# its key in decrypt (`tokenmigrate init --store NAME` writes that): %s", strings.Join(names, ", "))
	}
	f.line(1, "query: |")
	for line := range strings.SplitSeq(d.Query, "\n") {
		f.line(2, "%s", oneLine(strings.ReplaceAll(line, "${", "$${")))
	}
}

// destination writes where tokens go: a line for each provider.
func (f *starter) destination(c stores.Counts) {
	f.line(0, "destination:")
	f.line(1, "url: https://api.vercel.com")
	f.line(1, "token: %s", f.variable("VERCEL_TOKEN"))
	f.line(1, "# team_id: team_...   # whose the connectors are, unless the credential's default team's")
	var named, idle []stores.ProviderCount
	var unnamed, untold int64
	for _, p := range c.Providers {
		switch {
		case p.Untold:
			untold = p.Tokens
		case p.Tokens == 0:
			idle = append(idle, p)
		case p.Provider == "":
			unnamed = p.Tokens
		default:
			named = append(named, p)
		}
	}
	switch {
	case len(named) > 0:
		f.line(1, "# The connector of each provider: its id (scl_...) or uid (slack/acme-slack), or skip.")
		f.line(1, "connectors:")
		for _, p := range named {
			f.line(2, "%s: scl_%s   # %s", yamlKey(p.Provider), replaceMe, providerText(c, p))
		}
		f.remarks(c, idle, unnamed, untold)
	case untold == 0 && (unnamed > 0 || !c.ByProvider && c.Of > 0):
		f.line(1, "# No provider is told: the connector of every row, its id (scl_...) or uid (slack/acme-slack).")
		f.line(1, "connector: scl_%s   # %s", replaceMe, plural(c.Tokens(), "token"))
	default:
		why := "No tokens were seen"
		switch {
		case untold > 0:
			why = "What the column holds does not look like providers"
		case c.Of == 0 && !c.Exact:
			why = "Providers could not be counted"
		}
		f.line(1, "# %s, and slack is an example. The connector of each", why)
		f.line(1, "# provider: its id (scl_...) or uid (slack/acme-slack), or skip. For all rows in one: connector.")
		f.line(1, "connectors:")
		f.line(2, "slack: scl_%s", replaceMe)
		f.remarks(c, idle, unnamed, untold)
	}
}

// remarks tells, below the connectors, what has none.
func (f *starter) remarks(c stores.Counts, idle []stores.ProviderCount, unnamed, untold int64) {
	for _, p := range idle {
		f.line(2, "# %s needs none: %s", providerName(p), providerText(c, p))
	}
	if unnamed > 0 {
		f.line(2, "# %s of no provider will be invalid, unknown_provider", plural(unnamed, "token"))
	}
	if untold > 0 {
		f.line(2, "# %s of providers that are not told here: they are too many, or do not look like names", plural(untold, "token"))
	}
	if !c.Exact && c.Of > 0 {
		f.line(2, "# Rarer providers may be missing here: only the first %s rows were counted.", group(c.Of))
	}
}

// closed names the tables of the configuration that the role may not read, or "".
func (f *starter) closed() string {
	if first := f.survey.First; first != nil {
		if first.Table.Readable {
			return ""
		}
		return oneLine(first.Table.SQL())
	}
	var names []string
	for _, t := range f.survey.Found[0].Unreadable {
		names = append(names, oneLine(t.SQL()))
	}
	return strings.Join(names, ", ")
}

// nextSteps says what to do with the file.
func (f *starter) nextSteps() string {
	var b strings.Builder
	if closed := f.closed(); closed != "" {
		fmt.Fprintf(&b, "\nNext: grant what is told above for %s, and run init again: only then it counts\n", closed)
		b.WriteString("tokens by provider, and sees whether they are encrypted. Or, without that:\n")
	}
	fmt.Fprintf(&b, "\nNext, with the configuration that stands on stdout in a file:\n")
	fmt.Fprintf(&b, "  1. fill in what it leaves open: scl_%s is no connector\n", replaceMe)
	fmt.Fprintf(&b, "  2. set %s\n", strings.Join(f.variables, ", "))
	fmt.Fprintf(&b, "  3. tokenmigrate check -c FILE, then tokenmigrate dry-run -c FILE\n")
	return b.String()
}

var yamlPlain = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./-]*$`)

// yamlText writes a text as a value of the configuration, where ${ would be a
// reference.
func yamlText(text string) string { return yamlKey(strings.ReplaceAll(text, "${", "$${")) }

// yamlKey writes a text as a key of the configuration.
func yamlKey(text string) string {
	switch strings.ToLower(text) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
	default:
		if yamlPlain.MatchString(text) {
			return text
		}
	}
	return strconv.Quote(text)
}
