package source

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// field numbers the columns that a row may have, in the order of their reading.
type field int

const (
	fKey field = iota
	fKey2
	fProvider
	fConnector
	fAccessToken
	fRefreshToken
	fExpiresAt
	fRefreshTokenExpiresAt
	fSubjectType
	fSubjectID
	fSubjectIssuer
	fEnvironment
	fScopes
	fAudience
	fResources
	fAuthorizationDetails
	fData
	fInstallationID
	fInstallation
	fTenant
	fName
	fExternalSubject
	publicFields // those that every query may have come before

	fSkip      = publicFields // a store's reason to leave the row out
	fieldCount = fSkip + 1
	fInput     = fieldCount // a column for the Opener
)

// kind is how a column's values arrive and are read.
type kind uint8

const (
	kindNone    kind = iota // no such column
	kindText                // text
	kindPadded              // char(n): text whose trailing blanks do not count
	kindInteger             // text, of digits
	kindNumeric             // text, of digits
	kindUUID                // text
	kindJSON                // text
	kindBytes               // binary
	kindTime                // binary: microseconds since 2000, int64
	kindFloat               // binary: float4 or float8 by its length
	kindList                // binary: array of strings
)

// binary reports whether values of kind k are asked for in binary format: where
// that is unambiguous, and the text depends on settings or must be unescaped.
func (k kind) binary() bool { return k >= kindBytes }

const (
	texts   = 1<<kindText | 1<<kindPadded
	ids     = texts | 1<<kindInteger | 1<<kindUUID
	opaque  = texts | 1<<kindBytes
	times   = texts | 1<<kindTime | 1<<kindInteger | 1<<kindNumeric | 1<<kindFloat
	lists   = texts | 1<<kindList | 1<<kindJSON
	jsons   = 1 << kindJSON
	parties = ids | 1<<kindJSON
)

// specs say what each column may be. The advice is the cast that mends most
// wrong types.
var specs = [fieldCount]struct {
	name   string
	kinds  uint
	wanted string
	cast   string
}{
	fKey:                   {"key", ids, "smallint, integer, bigint, uuid or text", "text"},
	fKey2:                  {"key_2", ids, "smallint, integer, bigint, uuid or text", "text"},
	fProvider:              {"provider", texts, "text", "text"},
	fConnector:             {"connector", texts, "text", "text"},
	fAccessToken:           {"access_token", opaque, "text or bytea", "text"},
	fRefreshToken:          {"refresh_token", opaque, "text or bytea", "text"},
	fExpiresAt:             {"expires_at", times, "timestamptz, timestamp, text or a number", "timestamptz"},
	fRefreshTokenExpiresAt: {"refresh_token_expires_at", times, "timestamptz, timestamp, text or a number", "timestamptz"},
	fSubjectType:           {"subject_type", texts, "text", "text"},
	fSubjectID:             {"subject_id", ids, "text, an integer or uuid", "text"},
	fSubjectIssuer:         {"subject_issuer", texts, "text", "text"},
	fEnvironment:           {"environment", texts, "text", "text"},
	fScopes:                {"scopes", lists, "text[], text, json or jsonb", "text[]"},
	fAudience:              {"audience", lists, "text[], text, json or jsonb", "text[]"},
	fResources:             {"resources", lists, "text[], text, json or jsonb", "text[]"},
	fAuthorizationDetails:  {"authorization_details", jsons, "json or jsonb", "jsonb"},
	fData:                  {"data", jsons, "json or jsonb", "jsonb"},
	fInstallationID:        {"installation_id", ids, "text, an integer or uuid", "text"},
	fInstallation:          {"installation", parties, "json, jsonb, text, an integer or uuid", "text"},
	fTenant:                {"tenant", parties, "json, jsonb, text, an integer or uuid", "text"},
	fName:                  {"name", texts, "text", "text"},
	fExternalSubject:       {"external_subject", ids, "text, an integer or uuid", "text"},
	fSkip:                  {"skip", texts, "text", "text"},
}

// inputKinds are what a column for the Opener may be.
const inputKinds = ids | opaque | jsons

// String returns the column's name.
func (f field) String() string { return specs[f].name }

// Column is one column of the query, by name and type as Postgres calls it.
type Column struct{ Name, Type string }

// column is a Column that the mapping reads.
type column struct {
	field    field
	name     string
	kind     kind
	oid      uint32
	arrayOID uint32
	typeName string
	folded   bool // citext: equality is that of the folded text
	text     bool // of the string category; a key of such a type has a collation
}

const (
	oidInt8   = pgtype.Int8OID
	oidInt2   = pgtype.Int2OID
	oidInt4   = pgtype.Int4OID
	oidBPChar = pgtype.BPCharOID
)

// typeInfo is what pg_type says of an output column's type. A result describes
// domains by their base type, so only elements of arrays may still be domains.
type typeInfo struct {
	oid, arrayOID uint32
	name          string // as SQL writes it: timestamp with time zone
	plainName     string // as pg_type does: timestamptz
	category      string // typcategory: S string, E enum, A array, ...
	element       string // typcategory of an array's element
}

// kindOf returns how values of a type are read, or kindNone for a type that
// nothing can be read from.
func kindOf(t typeInfo) kind {
	switch t.oid {
	case oidInt2, oidInt4, oidInt8:
		return kindInteger
	case pgtype.NumericOID:
		return kindNumeric
	case pgtype.Float4OID, pgtype.Float8OID:
		return kindFloat
	case pgtype.UUIDOID:
		return kindUUID
	case pgtype.JSONOID, pgtype.JSONBOID:
		return kindJSON
	case pgtype.ByteaOID:
		return kindBytes
	case pgtype.TimestampOID, pgtype.TimestamptzOID:
		return kindTime
	case oidBPChar:
		return kindPadded
	}
	switch {
	case t.category == "S", t.category == "E":
		return kindText
	case t.category == "A" && (t.element == "S" || t.element == "E"):
		return kindList
	}
	return kindNone
}

// outputColumn is one column as the server describes the query.
type outputColumn struct {
	name string
	typ  typeInfo
}

// chooseColumns finds the mapping's columns among the query's and lists every
// problem. The columns come in the order of fields.
func chooseColumns(output []outputColumn, o *Options) (columns []column, problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	seen := map[string]int{}
	for i, out := range output {
		seen[out.name]++
		f := fieldByName(out.name)
		store := slices.Contains(o.storeColumns(), out.name)
		if f == fSkip && !store {
			f = -1
		}
		switch {
		case seen[out.name] == 2:
			add("column %s appears twice in the query's output; name each column once", out.name)
		case seen[out.name] > 2:
		case out.name == "?column?":
			add("column %d of the query has no name; add AS and one of %s", i+1, columnNames())
		case f < 0 && store:
			k := kindOf(out.typ)
			if inputKinds&(1<<k) == 0 {
				add("column %s is %s, which the store's cipher cannot read", out.name, out.typ.name)
				continue
			}
			columns = append(columns, column{field: fInput, name: out.name, kind: k})
		case f < 0:
			if near := nearest(out.name); near != "" {
				add("column %s is not known; did you mean %s? Known are %s", out.name, near, columnNames())
			} else {
				add("column %s is not known; leave it out of the query's output. Known are %s", out.name, columnNames())
			}
		default:
			spec := specs[f]
			k := kindOf(out.typ)
			isKey := f == fKey || f == fKey2
			if spec.kinds&(1<<k) == 0 || isKey && out.typ.category == "E" {
				cast := spec.cast
				if isKey && out.typ.oid == pgtype.NumericOID {
					cast = "bigint"
				}
				add("column %s is %s; it must be %s. Cast it in the query: (...)::%s AS %s", spec.name, out.typ.name, spec.wanted, cast, spec.name)
				continue
			}
			columns = append(columns, column{
				field: f, name: spec.name, kind: k, oid: out.typ.oid, arrayOID: out.typ.arrayOID, typeName: out.typ.name,
				folded: out.typ.plainName == "citext",
				text:   out.typ.category == "S",
			})
		}
	}
	problems = append(problems, missingColumns(seen, o)...)
	slices.SortStableFunc(columns, func(a, b column) int { return int(a.field - b.field) })
	return columns, problems
}

// missingColumns lists the columns that the query lacks; seen counts those that
// it has.
func missingColumns(seen map[string]int, o *Options) (problems []string) {
	routes := o.Routes
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if o.Open != nil {
		for _, name := range o.Open.Inputs() {
			if seen[name] == 0 {
				add("column %s, which the store's cipher reads, is missing from the query's output", name)
			}
		}
	}
	for _, f := range []field{fKey, fAccessToken} {
		opened := f == fAccessToken && o.Open != nil // it may come out of a document
		if seen[f.String()] == 0 && !opened {
			add("column %s is missing from the query's output; it must be %s", f, specs[f].wanted)
		}
	}
	if seen["subject_id"] == 0 && seen["subject_type"] == 0 {
		add("column subject_id is missing from the query's output; it says whose each token is (or, for tokens of the app itself, add 'app' AS subject_type)")
	}
	switch {
	case routes.Connector != "" || seen["connector"] > 0:
	case len(routes.ByProvider) == 0:
		add("column connector is missing from the query's output, and neither destination.connector nor destination.connectors says where the tokens go")
	case seen["provider"] == 0:
		add("column provider is missing from the query's output; destination.connectors chooses by it")
	}
	return problems
}

// fieldByName returns the field of a column's name, fSkip included, or -1.
func fieldByName(name string) field {
	for f := range fieldCount {
		if specs[f].name == name {
			return f
		}
	}
	return -1
}

func columnNames() string {
	names := make([]string, publicFields)
	for f := range publicFields {
		names[f] = specs[f].name
	}
	return strings.Join(names, ", ")
}

// nearest returns the known column whose name is most like name, case and
// underscores aside, or "" where none is like it.
func nearest(name string) string {
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }
	best, bestDistance := "", 3
	for f := range publicFields {
		if d := distance(plain(name), plain(f.String())); d < bestDistance && d < len(f.String())/2 {
			best, bestDistance = f.String(), d
		}
	}
	return best
}

// distance is the number of bytes to insert, delete or replace between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
