package migrate

import "tokenmigrate/migrate/connect"

// matching says for each token sent what the answer says of it: true, false, or
// nil where the answer did not name it, or not without doubt.
type matching struct {
	succeeded []*bool
	named     int // of them not nil
}

// whom is what an answer says of every token: for whom it is, and where.
// Installation and tenant may be echoed or not.
type whom struct{ kind, id, environment string }

func whomOf(t *connect.Token) whom { return whom{t.Subject.Type, t.Subject.ID, t.Environment} }

// match finds each token's own result, in whatever order the results came: the
// one that agrees with it and with no other token of the call. Position alone
// decides nothing, since no order is promised; a result that could speak for two
// tokens speaks for neither. But where the answer is as long as the call and each
// result agrees with the token at its place, then a token's own result is among
// those that agree with it, and what all of these say holds: so the tokens of one
// person for several installations, of which an answer need not tell which is
// which, are not sent again after each call.
func match(sent []connect.Token, results []connect.Result) matching {
	m := matching{succeeded: make([]*bool, len(sent))}
	byWhom := make(map[whom][]int, len(results))
	for i := range results {
		r := &results[i]
		if r.HasSubject {
			k := whom{r.Subject.Type, r.Subject.ID, r.Environment}
			byWhom[k] = append(byWhom[k], i)
		}
	}
	claims := make([]int, len(results)) // how many tokens a result could speak for
	candidates := make([][]int, len(sent))
	for i := range sent {
		t := &sent[i]
		for _, c := range byWhom[whomOf(t)] {
			if agrees(t, &results[c]) {
				candidates[i] = append(candidates[i], c)
				claims[c]++
			}
		}
	}
	ordered := inOrder(sent, results)
	for i, list := range candidates {
		word := theirWord(list, claims, results)
		if word == nil && ordered {
			word = unanimous(list, results)
		}
		m.set(i, word)
	}
	return m
}

// inOrder tells that there is one result for each token, and that each agrees
// with the token at its place.
func inOrder(sent []connect.Token, results []connect.Result) bool {
	if len(results) != len(sent) {
		return false
	}
	for i := range sent {
		r := &results[i]
		if !r.HasSubject || whomOf(&sent[i]) != (whom{r.Subject.Type, r.Subject.ID, r.Environment}) || !agrees(&sent[i], r) {
			return false
		}
	}
	return true
}

// unanimous returns what all of these results say, or nil.
func unanimous(list []int, results []connect.Result) *bool {
	var word *bool
	for _, c := range list {
		said := results[c].Succeeded
		if said == nil || word != nil && *word != *said {
			return nil
		}
		word = said
	}
	return word
}

// apart groups items so that no answer, however little it echoes, could confuse
// two of a group.
func apart(items []*item) [][]*item {
	var groups [][]*item
	seen := make(map[whom]int)
	for _, it := range items {
		k := whomOf(&it.token)
		n := seen[k]
		seen[k]++
		if n == len(groups) {
			groups = append(groups, nil)
		}
		groups[n] = append(groups[n], it)
	}
	return groups
}

func (m *matching) set(i int, succeeded *bool) {
	if m.succeeded[i] = succeeded; succeeded != nil {
		m.named++
	}
}

// agrees tells that nothing that the result says beside subject and environment
// speaks against the token. What was not sent may be echoed all the same, and
// what was sent need not be, but for the issuer, which is part of the subject.
func agrees(t *connect.Token, r *connect.Result) bool {
	switch {
	case t.Subject.Issuer != "" && r.Subject.Issuer != t.Subject.Issuer:
		return false
	case t.InstallationID != "" && r.InstallationID != "" && r.InstallationID != t.InstallationID:
		return false
	case t.Tenant.ID != "" && r.TenantID != "" && r.TenantID != t.Tenant.ID:
		return false
	}
	return true
}

// theirWord returns what the results that agree with a token say. A result given
// twice counts if both say the same: asking again would send a token twice that
// was answered.
func theirWord(list, claims []int, results []connect.Result) *bool {
	var word *bool
	for _, c := range list {
		said := results[c].Succeeded
		if claims[c] > 1 || said == nil || word != nil && *word != *said {
			return nil
		}
		word = said
	}
	return word
}
