package migrate

import "tokenmigrate/migrate/connect"

// matching says for each token sent what the answer says of it: true, false, or
// nil where the answer did not name it, or not without doubt.
type matching struct {
	succeeded []*bool
	named     int // of them not nil
}

// match finds each token's own result. By position, where there are as many
// results as tokens and each result agrees with the token at its place; else by
// whom the token is for, where that is unique. Nothing else counts as an answer.
func match(sent []connect.Token, results []connect.Result) matching {
	m := matching{succeeded: make([]*bool, len(sent))}
	if inOrder(sent, results) {
		for i := range results {
			m.set(i, results[i].Succeeded)
		}
		return m
	}
	type whom struct{ kind, id, environment string }
	byWhom := make(map[whom][]int, len(results))
	for i := range results {
		r := &results[i]
		if r.HasSubject {
			k := whom{r.Subject.Type, r.Subject.ID, r.Environment}
			byWhom[k] = append(byWhom[k], i)
		}
	}
	// A result that could speak for two tokens speaks for neither.
	claims := make([]int, len(results))
	candidates := make([][]int, len(sent))
	for i := range sent {
		t := &sent[i]
		for _, c := range byWhom[whom{t.Subject.Type, t.Subject.ID, t.Environment}] {
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

// theirWord returns what a token's results say. A result given twice counts if
// both say the same: asking again would send a token twice that was answered.
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
