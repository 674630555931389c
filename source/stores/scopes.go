package stores

import "strings"

// scopesParam is a parameter of the stores that keep no scopes.
var scopesParam = Param{Name: "scopes", Doc: "the scopes that your app asks for, since the store has none: google=openid email; github=repo. Without a provider: for all others"}

// scopesSQL selects what the parameter scopes says, by a provider expression;
// nothing where it is not set.
func scopesSQL(p Params, provider string) string {
	var cases strings.Builder
	other := "NULL"
	for entry := range strings.SplitSeq(p["scopes"], ";") {
		name, scopes, named := strings.Cut(entry, "=")
		switch {
		case strings.TrimSpace(entry) == "":
		case named:
			cases.WriteString(" WHEN " + literal(strings.TrimSpace(name)) + " THEN " + literal(strings.TrimSpace(scopes)))
		default:
			other = literal(strings.TrimSpace(entry))
		}
	}
	switch {
	case cases.Len() > 0:
		return "CASE (" + provider + ")::text" + cases.String() + " ELSE " + other + " END AS scopes"
	case other != "NULL":
		return other + "::text AS scopes"
	}
	return ""
}
