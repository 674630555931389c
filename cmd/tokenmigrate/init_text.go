package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"tokenmigrate/source"
	"tokenmigrate/source/stores"
)

// surveyText tells what was found, for a person.
func surveyText(s *stores.Survey) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("Database %s, as role %s, Postgres %s: %s.", oneLine(s.Database), oneLine(s.User), s.ServerVersion, plural(int64(s.Tables), "table"))
	for _, store := range s.Answers {
		say("\n%s: %s", store.Title, store.NoStore)
	}
	for i, f := range s.Found {
		say("\n%s (%s): %s", f.Store.Title, f.Store.Name, oneLine(f.Match.Variant))
		if i > 0 {
			say("  not in the configuration but for a comment: it takes a migration of its own")
		}
		b.WriteString(foundText(f, s.User))
	}
	if len(s.Drafts) > 0 {
		heading := "Other tables that look like stores of tokens:"
		if len(s.Found) == 0 {
			heading = "No known store was recognised. These tables look like stores of tokens, the likeliest first:"
		}
		say("\n%s", heading)
	}
	for i, d := range s.Drafts {
		say("  %s%s, by its columns %s", oneLine(d.Table.SQL()), about(d.Table.Rows), oneLine(strings.Join(d.Columns, ", ")))
		if !d.Table.Readable {
			say("    role %s may not read it. Let it: %s", oneLine(s.User), oneLine(d.Table.Grant(s.User)))
		}
		if i == 0 && len(s.Found) == 0 {
			b.WriteString(countsText(d.Counts, "    "))
			if d.Problem != nil {
				say("    ! %s", oneLine(d.Problem.Error()))
			}
			for _, note := range d.Notes {
				say("    ! %s", oneLine(note))
			}
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
	if f.Problem != nil {
		say("! its rows cannot be read as they are: %s", oneLine(f.Problem.Error()))
	}
	if len(f.Unreadable) == 0 {
		b.WriteString(countsText(f.Counts, "  "))
	}
	for _, reason := range sortedReasons(f.Counts.Skipped()) {
		say("%s left out, %s: %s", plural(f.Counts.Skipped()[reason], "row"), reason, f.Store.Skips[reason])
	}
	switch {
	case f.Sample.Encrypted > 0 && f.Sample.Plain > 0:
		say("values are encrypted in %d of %s looked at, and stand in the clear in others: each is told by itself", f.Sample.Encrypted, plural(int64(f.Sample.Rows), "row"))
	case f.Sample.Encrypted > 0:
		say("values are encrypted (in %d of %s looked at)", f.Sample.Encrypted, plural(int64(f.Sample.Rows), "row"))
	case f.Store.Cipher != "" && f.Sample.Plain > 0:
		say("values are not encrypted in the %s looked at", plural(int64(f.Sample.Rows), "row"))
	case f.Store.Cipher != "":
		say("whether values are encrypted was not to be seen")
	}
	for _, w := range slices.Concat(f.Store.Warnings, f.Match.Warnings) {
		say("! %s", w)
	}
	return b.String()
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
		say("about %s, by the planner's estimate", plural(c.Rows, "row"))
	default:
		say("the number of rows is not known: the table was never analysed")
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

func sortedReasons(m map[source.Reason]int64) []source.Reason { return slices.Sorted(maps.Keys(m)) }

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
