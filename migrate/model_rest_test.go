package migrate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect"
	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// atRest checks, after a last run that nothing disturbed, that every row has
// the one ending that it deserves.
func (k *modelCheck) atRest(ctx context.Context, r *report.Report, ended error) error {
	if err := k.endings(ctx); err != nil {
		return err
	}
	if r.Counts.Pending != 0 {
		return fmt.Errorf("%d rows are pending", r.Counts.Pending)
	}
	if want := r.Counts.NotImported() > 0; want != errors.Is(ended, ErrNotImported) {
		return fmt.Errorf("the run ended with %v, not imported are %d rows", ended, r.Counts.NotImported())
	}
	tokens, _, _, err := k.checkpoint(ctx)
	if err != nil {
		return err
	}
	return k.failures(r, tokens)
}

// endings checks that every row has the one ending that it deserves.
func (k *modelCheck) endings(ctx context.Context) error {
	tokens, _, _, err := k.checkpoint(ctx)
	if err != nil {
		return err
	}
	h, _, err := k.hashes(ctx)
	if err != nil {
		return err
	}
	rows := k.src.snapshot()
	same := map[sandbox.Identity][]*content{}
	for _, c := range rows {
		if c.reason(k.src.missingExpiry) == "" {
			same[c.identity()] = append(same[c.identity()], c)
		}
	}
	holds := k.end.Imported()
	for _, key := range sortedKeys(rows) {
		c, t := rows[key], tokens[key]
		if err := k.deserved(c, t, tokens, same[c.identity()], holds, h); err != nil {
			return err
		}
	}
	return nil
}

// failures compares the report's list with the checkpoint.
func (k *modelCheck) failures(r *report.Report, tokens map[string]tokenRow) error {
	var want, got []string
	for _, key := range sortedKeys(tokens) { // as bytes, like the C collation
		if t := tokens[key]; t.Outcome != string(checkpoint.Imported) {
			want = append(want, key+" "+t.Reason)
		}
	}
	for _, f := range r.Failures {
		got = append(got, f.Key+" "+f.Reason)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("the report lists as failures %q, want %q", got, want)
	}
	return nil
}

// deserved checks the ending of one row. same are all valid rows of its
// identity, itself included.
func (k *modelCheck) deserved(c *content, t tokenRow, tokens map[string]tokenRow, same []*content, holds map[sandbox.Identity]sandbox.Import, h hashes) error {
	wrong := func(why string) error {
		return violated(c.key, "%s ended as %s %q %q: %s", c.id, t.Outcome, t.Reason, t.Detail, why)
	}
	if reason := c.reason(k.src.missingExpiry); reason != "" {
		want := string(checkpoint.Invalid)
		if reason == "excluded" {
			want = string(checkpoint.Skipped)
		}
		if t.Outcome != want || t.Reason != reason {
			return wrong("want " + want + " " + reason)
		}
		return nil
	}
	switch t.Outcome + " " + t.Reason {
	case "imported ":
		if !bytes.Equal(t.Imported, h.fingerprint(c)) {
			return wrong("another content was imported")
		}
		return k.held(c, holds[c.identity()])
	case "failed refused":
		if !strings.HasPrefix(c.subject, "refused-") {
			return wrong("the endpoint does not refuse it")
		}
	case "failed rejected":
		if !strings.HasPrefix(c.subject, "rejected-") {
			return wrong("the endpoint does not reject it")
		}
	case "skipped expired":
		if k.policy.SendExpired || !c.expired() {
			return wrong("it is not expired, or to be sent all the same")
		}
	case "skipped changed":
		if !k.policy.SkipChanged || t.Imported == nil || bytes.Equal(t.Imported, h.fingerprint(c)) {
			return wrong("it did not change, or is to be sent all the same")
		}
	case "invalid too_large":
		row := c.row(k.src.missingExpiry)
		if len(connect.AppendBody(nil, []connect.Token{row.Token})) <= k.worker.o.ChunkBytes {
			return wrong("it is not")
		}
	case "invalid duplicate":
		if k.policy.SendDuplicates {
			return wrong("duplicates are to be sent")
		}
		if !slices.ContainsFunc(same, func(o *content) bool {
			own := tokens[o.key]
			return o != c && own.Reason != reasonDuplicate && bytes.Equal(own.Identity, h.identity(c))
		}) {
			return wrong("no other row of this identity was ever sent")
		}
	case "unknown in_doubt":
		resend := k.policy.InDoubt == InDoubtSend || k.policy.InDoubt == InDoubtFresh && c.fresh(time.Now())
		if resend {
			return wrong("it is to be sent again")
		}
		if !bytes.Equal(t.Fingerprint, h.fingerprint(c)) {
			return wrong("it is another content that is in doubt")
		}
	default:
		return wrong("nothing deserves that")
	}
	return nil
}

// held checks that the endpoint holds the content of a row that is called
// imported, unless several rows of an identity are to be sent.
func (k *modelCheck) held(c *content, im sandbox.Import) error {
	if im.AccessTokenSHA256 == sha256.Sum256([]byte(c.access)) && (c.refresh == "" || im.RefreshTokenSHA256 == sha256.Sum256([]byte(c.refresh))) {
		return nil
	}
	if len(k.src.taken[c.identity()]) == 1 {
		return violated(c.key, "%s is called imported, and the endpoint does not hold it", c.id)
	}
	if k.policy.SendDuplicates {
		return nil
	}
	return violated(c.key, "%s is called imported, and the endpoint holds another row's token", c.id)
}

// trace tells the history of what went wrong, to be read by a person.
func (m *model) trace(err error) string {
	var b strings.Builder
	for _, line := range m.log {
		fmt.Fprintln(&b, " ", line)
	}
	var v *violation
	if !errors.As(err, &v) || v.key == "" || m.src == nil {
		return b.String()
	}
	// The rows of its identities are of its history, too.
	related := map[string]bool{v.key: true}
	for _, keys := range m.src.taken {
		if keys[v.key] && len(keys) < 10 {
			maps.Copy(related, keys)
		}
	}
	for _, key := range sortedKeys(related) {
		fmt.Fprintf(&b, "  the row %s, last known as %+v:\n", key, m.check.tokens[key])
		for _, line := range m.src.log {
			if strings.Contains(line, " "+key+"@") {
				fmt.Fprintln(&b, "   ", line)
			}
		}
		for _, s := range m.check.sends[key] {
			fmt.Fprintln(&b, "   ", s)
		}
	}
	return b.String()
}
