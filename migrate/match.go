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

// match finds each token's own result. Where results follow the tokens one to
// one and all say the same, there is nothing to tell apart; else a token's
// results are those that agree with it, in whatever order they came, and they
// count where no other token could lay claim to them, or where all of them say
// the same. Nothing else counts as an answer.
func match(sent []connect.Token, results []connect.Result) matching {
	m := matching{succeeded: make([]*bool, len(sent))}
	if inOrder(sent, results) && unanimous(results) {
		for i := range results {
			m.set(i, results[i].Succeeded)
		}
		return m
	}
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
	for i, list := range candidates {
		m.set(i, theirWord(list, claims, results))
	}
	return m
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

// inOrder tells that the results follow the tokens one to one.
func inOrder(sent []connect.Token, results []connect.Result) bool {
	if len(sent) != len(results) {
		return false
	}
	for i := range sent {
		t, r := &sent[i], &results[i]
		if !r.HasSubject || r.Subject.Type != t.Subject.Type || r.Subject.ID != t.Subject.ID ||
			r.Environment != t.Environment || !agrees(t, r) {
			return false
		}
	}
	return true
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

// unanimous tells that all results say the same.
func unanimous(results []connect.Result) bool {
	for i := range results {
		if s := results[i].Succeeded; s == nil || *s != *results[0].Succeeded {
			return false
		}
	}
	return true
}

// theirWord returns what the results that agree with a token say. If there are
// several (a result given twice, tokens that differ only in what is not echoed)
// they count if all say the same, and if there are as many as tokens that could
// claim them: asking again would send tokens twice that were answered.
func theirWord(list, claims []int, results []connect.Result) *bool {
	var word *bool
	for _, c := range list {
		said := results[c].Succeeded
		if claims[c] > len(list) || said == nil || word != nil && *word != *said {
			return nil
		}
		word = said
	}
	return word
}
