package report

import (
	"cmp"
	"maps"
	"slices"
)

// Reason explains a reason code.
type Reason struct {
	Code string
	// Outcome is what rows with this reason end as: failed, invalid, skipped or
	// unknown.
	Outcome string
	// What says in a clause what is the matter with such a row, and Remedy, a
	// clause too, what to do so that it is imported, or that nothing is to be done.
	What, Remedy string

	store bool // a known store has it, not every migration
}

// Explain returns what is known of a reason code. One that is not among Reasons
// is a store's own, for which it leaves rows out.
func Explain(code string) Reason {
	r, ok := reasons[code]
	if !ok {
		r = Reason{Outcome: "skipped", What: "the store's own reason to leave a row out", Remedy: "nothing, if that is right"}
	}
	r.Code = code
	return r
}

// Reasons returns the reason codes that every migration may have, sorted. A store
// may add some of its own.
func Reasons() []string {
	codes := slices.Sorted(maps.Keys(reasons))
	return slices.DeleteFunc(codes, func(code string) bool { return reasons[code].store })
}

var reasons = map[string]Reason{
	"refused":              {Outcome: "failed", What: "the endpoint answered succeeded: false", Remedy: "look at the token at its provider; --retry-failed sends it again"},
	"rejected":             {Outcome: "failed", What: "the endpoint refuses a call with this token alone", Remedy: "see its detail for what the endpoint said; --retry-failed sends it again"},
	"unavailable":          {Outcome: "failed", What: "attempts were used up while other calls succeeded", Remedy: "run again"},
	"missing_access_token": {Outcome: "invalid", What: "the column is empty", Remedy: "the user must consent again"},
	"missing_subject":      {Outcome: "invalid", What: "there is nobody to import it for", Remedy: "fill subject_id, or leave such rows out in source.where"},
	"missing_expiry":       {Outcome: "invalid", What: "it has no known expiry", Remedy: "set source.missing_expiry to send it all the same"},
	"invalid_expiry":       {Outcome: "invalid", What: "its expiry is neither a time nor a number", Remedy: "correct the column, or convert it in source.query"},
	"invalid_environment":  {Outcome: "invalid", What: "its environment is none that Connect has", Remedy: "use development, preview, production, or the env_ id of a custom one"},
	"unknown_provider":     {Outcome: "invalid", What: "its provider goes to no connector", Remedy: "add the provider to destination.connectors, or skip it there"},
	"invalid_field":        {Outcome: "invalid", What: "a value in it is one that the import schema cannot hold", Remedy: "see its detail for which; correct it, or leave it out in source.query"},
	"decrypt_failed":       {Outcome: "invalid", What: "a value in it cannot be opened with the keys given", Remedy: "add the key that it was sealed with, else the user must consent again"},
	"too_large":            {Outcome: "invalid", What: "the token alone is larger than send.chunk_bytes", Remedy: "raise send.chunk_bytes, if the endpoint takes that much"},
	"duplicate":            {Outcome: "invalid", What: "another row is for the same subject and goes first", Remedy: "nothing, if one is enough; source.where, or the query, can choose another one, and policy.duplicates: send sends both"},
	"expired":              {Outcome: "skipped", What: "the access token is expired and there is no refresh token", Remedy: "the user must consent again"},
	"changed":              {Outcome: "skipped", What: "it was imported before and has changed since", Remedy: "nothing, if Connect has the better one; policy.changed: send sends it"},
	"excluded":             {Outcome: "skipped", What: "its provider is left out by destination.connectors", Remedy: "nothing: it is left out on purpose"},
	"in_doubt":             {Outcome: "unknown", What: "it was sent, and the answer never came", Remedy: "run again; where policy.in_doubt holds it, look it up in Connect, or set policy.in_doubt: send"},
	"unmatched":            {Outcome: "unknown", What: "it was sent at least twice, and no answer named it", Remedy: "run again"},

	"password_login":  {store: true, Outcome: "skipped", What: "a login by password or e-mail, which has no token", Remedy: "nothing: there is no grant to move"},
	"not_oauth":       {store: true, Outcome: "skipped", What: "no OAuth grant but another kind of credential", Remedy: "nothing: Connect takes OAuth grants alone"},
	"oauth1":          {store: true, Outcome: "skipped", What: "an OAuth 1 grant, which cannot be imported", Remedy: "the user must consent again, with OAuth 2"},
	"no_token":        {store: true, Outcome: "skipped", What: "the store kept no access token for it", Remedy: "the user must consent again"},
	"deleted":         {store: true, Outcome: "skipped", What: "deleted in the product that owns the store", Remedy: "nothing: nobody uses it"},
	"disconnected":    {store: true, Outcome: "skipped", What: "the store has marked its grant as refused or revoked", Remedy: "the user must consent again"},
	"never_connected": {store: true, Outcome: "skipped", What: "set up and never connected", Remedy: "nothing: there is no grant to move"},
	"placeholder":     {store: true, Outcome: "skipped", What: "a word stands in the place of its token", Remedy: "the user must consent again"},
	"older_copy":      {store: true, Outcome: "skipped", What: "the store has a newer row of the same grant", Remedy: "nothing: the newer one is sent"},
	"foreign_client":  {store: true, Outcome: "skipped", What: "granted to the OAuth client of the product's vendor, who alone can refresh it", Remedy: "the user must consent again, to a client of your own"},
	"not_offline":     {store: true, Outcome: "skipped", What: "its token is kept elsewhere and cannot be read from the database", Remedy: "the user must consent again"},
}

// reasonCount is a reason of a report with its rows.
type reasonCount struct {
	Reason
	Rows    int64
	Samples []string // keys
}

// maxSamples is how many keys stand beside a reason.
const maxSamples = 5

// reasonCounts returns the reasons that keep rows from being imported, and those
// for which rows were left out on purpose; the most frequent first.
func (r *Report) reasonCounts() (missing, left []reasonCount) {
	samples := make(map[string][]string)
	for _, f := range r.Failures {
		if len(samples[f.Reason]) < maxSamples {
			samples[f.Reason] = append(samples[f.Reason], f.Key)
		}
	}
	for code, n := range r.Reasons {
		if n <= 0 {
			continue
		}
		c := reasonCount{Explain(code), n, samples[code]}
		if c.Outcome == "skipped" {
			left = append(left, c)
		} else {
			missing = append(missing, c)
		}
	}
	order := func(a, b reasonCount) int { return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Code, b.Code)) }
	slices.SortFunc(missing, order)
	slices.SortFunc(left, order)
	return missing, left
}
