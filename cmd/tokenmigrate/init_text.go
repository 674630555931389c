package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/source/stores"
)

// surveyText tells what was found, for a person.
func surveyText(s *stores.Survey) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Database %s, as role %s, Postgres %s: %s.\n", oneLine(s.Database), oneLine(s.User), s.ServerVersion, plural(int64(s.Tables), "table"))
	for _, store := range s.Answers {
		fmt.Fprintf(&b, "\n%s: %s\n", store.Title, store.NoStore)
	}
	told := map[*stores.Store]bool{}
	for i, f := range s.Found {
		fmt.Fprintf(&b, "\n%s: %s\n", f.Store.Title, oneLine(f.Match.Variant))
		if i > 0 {
			b.WriteString("  in the configuration as a comment only: it takes a migration of its own\n")
		}
		b.WriteString(foundText(f, s.User))
		warnings := f.Match.Warnings
		if !told[f.Store] {
			warnings = slices.Concat(f.Store.Warnings, warnings)
		}
		told[f.Store] = true
		for _, w := range warnings {
			fmt.Fprintf(&b, "  ! %s\n", oneLine(w))
		}
	}
	if len(s.Drafts) > 0 {
		b.WriteString(draftsText(s))
	}
	return b.String()
}

// draftsText tells of the tables that no store takes for its own.
func draftsText(s *stores.Survey) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	heading := "Other tables that look like stores of tokens:"
	if len(s.Found) == 0 {
		heading = "No known store was recognised. These tables look like stores of tokens, the likeliest first:"
	}
	say("\n%s", heading)
	for i, d := range s.Drafts {
		say("  %s%s, by its columns %s", oneLine(d.Table.SQL()), about(d.Table.Rows), oneLine(strings.Join(d.Columns, ", ")))
		if !d.Table.Readable {
			say("    role %s may not read it. Let it: %s", oneLine(s.User), oneLine(d.Table.Grant(s.User)))
		}
		if i > 0 || len(s.Found) > 0 {
			continue
		}
		if d.Counts.Of > 0 {
			b.WriteString(countsText(d.Counts, "    "))
		}
		if d.Problem != nil {
			say("    ! the drafted query cannot be used as it is: %s", oneLine(d.Problem.Error()))
		}
		for _, note := range d.Notes {
			say("    ! %s", oneLine(note))
		}
	}
	return b.String()
}

// foundText tells of one place, indented.
func foundText(f *stores.Found, role string) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, "  "+format+"\n", args...) }
	for _, t := range f.Unreadable {
		say("! role %s may not read table %s%s. Let it: %s", oneLine(role), oneLine(t.SQL()), about(t.Rows), oneLine(t.Grant(role)))
	}
	if len(f.Unreadable) > 0 {
		return b.String()
	}
	b.WriteString(countsText(f.Counts, "  "))
	if f.Problem != nil {
		say("! its rows cannot be read as they are: %s%s", oneLine(f.Problem.Error()), problemRemedy(f, role))
	}
	skipped := f.Counts.Skipped()
	for _, reason := range slices.Sorted(maps.Keys(skipped)) {
		say("%s left out, %s: %s", plural(skipped[reason], "row"), reason, f.Store.Skips[reason])
	}
	for _, reason := range slices.Sorted(maps.Keys(f.Sample.Skipped)) {
		if skipped[reason] == 0 { // known only where a row is opened
			say("%d of %s looked at left out, %s: %s", f.Sample.Skipped[reason], plural(int64(f.Sample.Rows), "row"), reason, f.Store.Skips[reason])
		}
	}
	for _, p := range f.Counts.Providers {
		if p.NoExpiry > 0 && ownExpiry(f.Store, p.Provider) == 0 {
			say("! %s of %s without a known expiry will be invalid (missing_expiry) until source.missing_expiry says how long they last", plural(p.NoExpiry, "token"), oneLine(p.Provider))
		}
	}
	say("%s", encryptedText(f))
	return strings.TrimSuffix(b.String(), "  \n")
}

// encryptedText tells whether values are encrypted; "" of a store that never does.
func encryptedText(f *stores.Found) string {
	looked := plural(int64(f.Sample.Rows), "row") + " looked at"
	switch {
	case f.Sample.Encrypted > 0 && f.Sample.Plain > 0:
		return fmt.Sprintf("values are encrypted in %d of %s, and stand in the clear in others: each is told by itself", f.Sample.Encrypted, looked)
	case f.Sample.Encrypted > 0:
		return fmt.Sprintf("values are encrypted in %d of %s", f.Sample.Encrypted, looked)
	case f.Store.Cipher != "" && f.Sample.Plain > 0:
		return "values are not encrypted in the " + looked
	case f.Store.Cipher != "":
		return "whether values are encrypted was not to be seen"
	}
	return ""
}

// problemRemedy says what helps against a place's problem, where the problem does
// not say so itself.
func problemRemedy(f *stores.Found, role string) string {
	if pgerr.CodeOf(f.Problem) != "42501" {
		return ""
	}
	if strings.Contains(f.Problem.Error(), "row-level security") {
		return ". Read with the table's owner, or with a role that has BYPASSRLS"
	}
	var grants []string
	for _, t := range f.Match.Tables {
		grants = append(grants, t.Grant(role))
	}
	return ". Let role " + oneLine(role) + " read all of it: " + oneLine(strings.Join(grants, " "))
}

// countsText tells rows and tokens by provider.
func countsText(c stores.Counts, indent string) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, indent+format+"\n", args...) }
	switch {
	case c.Exact:
		say("%s in %s", plural(c.Tokens(), "token"), plural(c.Rows, "row"))
	case c.Of > 0:
		say("counting takes too long: about %s in about %s, by the planner's estimate and the first %s", plural(c.Tokens(), "token"), plural(c.Rows, "row"), group(c.Of))
	case c.Rows >= 0:
		say("not counted; about %s, by the planner's estimate", plural(c.Rows, "row"))
	default:
		say("not counted, and the planner has no estimate: the table was never analysed")
	}
	for _, p := range c.Providers {
		if c.ByProvider {
			say("  %-16s %s", oneLine(p.Provider), providerText(c, p))
		}
	}
	if c.More {
		say("  ... and more: is it a provider's name that the column holds?")
	}
	return b.String()
}

// providerText tells the counts of one provider: "1,234 tokens, 3 without expiry".
func providerText(c stores.Counts, p stores.ProviderCount) string {
	text := plural(p.Tokens, "token")
	if !c.Exact {
		text += " of the first " + group(c.Of) + " rows"
	}
	if p.NoExpiry > 0 {
		text += ", " + group(p.NoExpiry) + " without expiry"
	}
	if left := p.Rows - p.Tokens; left > 0 {
		text += ", " + group(left) + " left out"
	}
	return text
}

// about tells a table's rows by the planner's estimate, if it has one.
func about(rows int64) string {
	if rows < 0 {
		return ""
	}
	return " (about " + plural(rows, "row") + ")"
}

// plural writes a number of things: "1 row", "1,234 rows".
func plural(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return group(n) + " " + thing + "s"
}

// group writes a number with commas.
func group(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// oneLine makes text of a database fit for a line of a terminal or a comment:
// names of tables and providers may hold anything.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > 2000 {
		return string(runes[:2000]) + "..."
	}
	return text
}
