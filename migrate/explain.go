package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect"
	"tokenmigrate/migrate/report"
	"tokenmigrate/source"
)

// ErrUnknownKey: neither the checkpoint nor the source knows a key.
var ErrUnknownKey = errors.New("no such key")

// Explain tells everything known of one row: what the checkpoint has recorded,
// and what the next run would make of the row as it is now, judged by what a run
// judges by. It makes no call and writes nothing. A Migrator without a source
// tells what the checkpoint knows; away is then why there is none.
//
// Errors: ErrUnknownKey; ErrUnavailable where only the source could know the key
// and cannot be read; ErrConfig; those of the checkpoint.
func (m *Migrator) Explain(ctx context.Context, key string, away error) (*report.Explanation, error) {
	migration, err := m.store.Migration(ctx, m.o.Migration)
	fresh := errors.Is(err, checkpoint.ErrNoMigration)
	switch {
	case fresh:
		migration.FingerprintKey = []byte("nothing is recorded to compare with")
	case errors.Is(err, checkpoint.ErrOlderSchema), errors.Is(err, checkpoint.ErrNewerSchema):
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	case err != nil:
		return nil, err
	}
	e := &report.Explanation{
		Version: report.Version, Migration: m.o.Migration, Key: key,
		Standing: []report.StandingCall{}, Notes: []string{}, Source: report.SourceRow{Fields: []report.Field{}},
	}
	x := &explainer{m: m, e: e, migration: migration, fresh: fresh}
	if err := x.recorded(ctx); err != nil {
		return nil, err
	}
	if m.src == nil {
		x.away(away)
	} else if err := x.row(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		x.away(err)
	}
	if e.Recorded == nil && len(e.Standing) == 0 {
		switch e.Source.State {
		case report.Gone:
			return nil, fmt.Errorf("%w: neither the source nor the checkpoint of migration %s has it; the command failures and JSON reports have exact keys: they are the text of the query's key column, for composite keys both parts joined by / with %% and / in them as %%25 and %%2F", ErrUnknownKey, m.o.Migration)
		case report.Away:
			return nil, fmt.Errorf("%w: the checkpoint does not know this key, and the source cannot be read: %s", ErrUnavailable, e.Source.Error)
		}
	}
	return e, nil
}

// explainer fills an explanation.
type explainer struct {
	m         *Migrator
	e         *report.Explanation
	migration checkpoint.Migration
	fresh     bool
	known     *checkpoint.TokenRecord // nil: none
}

func (x *explainer) away(err error) {
	x.e.Source.State, x.e.Source.Fields, x.e.Next = report.Away, []report.Field{}, nil
	x.e.Source.Error = err.Error()
	if x.m.o.Redact != nil {
		x.e.Source.Error = x.m.o.Redact(x.e.Source.Error)
	}
}

// recorded fills in what the checkpoint knows.
func (x *explainer) recorded(ctx context.Context) error {
	if x.fresh {
		x.e.Notes = append(x.e.Notes, "nothing of this migration was run yet")
		return nil
	}
	known, standing, err := x.m.store.Token(ctx, x.migration.ID, x.e.Key)
	if err != nil {
		return err
	}
	for _, c := range standing {
		x.e.Standing = append(x.e.Standing, report.StandingCall{Run: c.Run, Connector: c.Connector, StartedAt: c.StartedAt.UTC(), Over: c.Over})
	}
	if x.migration.Paused {
		x.e.Notes = append(x.e.Notes, "the migration is paused: no calls are made until `resume`")
	}
	if x.known = known; known == nil {
		return nil
	}
	r := &report.RecordedToken{
		Outcome: string(known.Outcome), Reason: known.Reason, Detail: known.Detail, Connector: known.Connector, Environment: known.Environment,
		Succeeded: known.Succeeded, Attempts: known.Attempts, ImportedAt: orNil(known.ImportedAt), UpdatedAt: known.UpdatedAt.UTC(),
		Run: known.RunID, RunStartedAt: orNil(known.RunStarted), RunVersion: known.RunVersion,
	}
	switch {
	case known.Outcome == checkpoint.Imported:
		r.LastAttemptAt = r.ImportedAt
	case known.Attempts > 0 && (known.Outcome == checkpoint.Failed || known.Outcome == checkpoint.Unknown):
		r.LastAttemptAt = &r.UpdatedAt
	}
	x.e.Recorded = r
	return nil
}

func orNil(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return new(at.UTC())
}

// row reads the row and judges it as the next run would.
func (x *explainer) row(ctx context.Context) error {
	rows, err := x.m.src.Rows(ctx, []string{x.e.Key})
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		x.e.Source.State = report.Gone
		return nil
	}
	row := &rows[0]
	p := newPass(&x.m.o, x.migration, 0, x.m.store, x.m.src)
	if x.fresh {
		p.judge.known = nothingKnown{}
	} else if err := p.foreseeDoubts(ctx); err != nil {
		return err
	}
	marks := p.judge.hash.marks(rows)
	rulings, err := p.judge.rows(ctx, rows, marks, p.judge.byKey)
	if err != nil {
		return err
	}
	s := &x.e.Source
	s.State, s.Connector = report.Found, row.Connector
	if row.Reason == "" {
		s.Fields = x.fields(row)
		x.e.Key = row.Token.Scrubber().Clean(x.e.Key)
		if x.known != nil {
			s.AsImported, s.AsSent = sameHash(x.known.Imported, marks[0].fingerprint), sameHash(x.known.Fingerprint, marks[0].fingerprint)
		}
	}
	x.next(&rulings[0])
	if rulings[0].item != nil && !x.fresh {
		if err := x.refused(ctx, s.Connector); err != nil {
			return err
		}
	}
	if !x.fresh {
		if _, err := checkTarget(ctx, &x.m.o, x.m.store, x.migration); err != nil {
			x.e.Notes = append(x.e.Notes, "the next run is refused as things are: "+err.Error())
		}
	}
	return nil
}

// sameHash compares what was with what is; nil: nothing was.
func sameHash(was, is checkpoint.Hash) *bool {
	if was == (checkpoint.Hash{}) {
		return nil
	}
	return new(was == is)
}

// refused notes that the connector of a row to be sent refused in the newest run.
func (x *explainer) refused(ctx context.Context, connector string) error {
	runs, err := x.m.store.Runs(ctx, x.migration.ID)
	if err != nil || len(runs) == 0 {
		return err
	}
	r, err := StatusReport(x.migration, runs)
	if err != nil {
		return err
	}
	for _, words := range Refusals(r, connector) {
		x.e.Notes = append(x.e.Notes, "the last run could not send to it, and unless that was mended the next cannot either: "+words)
	}
	return nil
}

// next puts a ruling in words.
func (x *explainer) next(r *ruling) {
	n := &report.NextRun{
		Sends: r.item != nil, Outcome: string(r.ended.outcome), Reason: r.ended.reason, Detail: r.detail, DuplicateOf: r.owner,
	}
	x.e.Next = n
	switch {
	case n.Sends:
		n.Why = x.whySent()
		if x.e.Source.AsSent == nil && !x.m.o.Policy.SendDuplicates {
			x.e.Notes = append(x.e.Notes, "whether another row that was never sent is for the same subject and goes first is found by reading all rows: see dry-run")
		}
	case n.Reason != "":
		why := report.Explain(n.Reason)
		n.Why, n.Remedy = why.What, why.Remedy
	default:
		n.Why = "it was imported, and is unchanged since"
	}
	if n.Reason != reasonDuplicate {
		n.DuplicateOf = ""
	}
}

// whySent tells what is on record of a token that the rules let be sent.
func (x *explainer) whySent() string {
	switch s := &x.e.Source; {
	case len(x.e.Standing) > 0:
		return "the answer to its last call is not recorded"
	case x.known == nil:
		return "it was not sent yet"
	case x.known.Outcome == checkpoint.Unknown:
		return "it was sent, and what became of it is not known (" + x.known.Reason + ")"
	case s.AsImported != nil && *s.AsImported && x.known.Superseded:
		return "another row was sent for the same identity since it was imported"
	case s.AsImported != nil && !*s.AsImported:
		return "its content differs from what was imported"
	case s.AsSent == nil:
		return "what kept it from being sent is over (it was " + string(x.known.Outcome) + ", " + x.known.Reason + ")"
	case !*s.AsSent:
		return "its content differs from what was sent when it ended as " + x.known.Reason
	}
	return "it is tried again (it was " + string(x.known.Outcome) + ", " + x.known.Reason + ")"
}

// fields returns what would be sent, in the order of the request, without
// credentials, and without what tells whose token it is unless that was asked for.
// No other field may repeat a credential: what a query puts into a wrong column
// is taken out.
func (x *explainer) fields(row *source.Row) []report.Field {
	t := &row.Token
	scrub := t.Scrubber()
	var out []report.Field
	plain := func(name, value string) {
		if value != "" {
			out = append(out, report.Field{Name: name, Value: scrub.Clean(value)})
		}
	}
	hidden := func(name string, s connect.Secret) {
		if !s.Empty() {
			out = append(out, report.Field{Name: name, Hidden: "credential", Bytes: len(s.Reveal())})
		}
	}
	personal := func(name, value string) {
		if value != "" && !x.m.o.ShowSubjects {
			out = append(out, report.Field{Name: name, Hidden: "subject"})
			return
		}
		plain(name, value)
	}
	at := func(name string, ms int64, madeUp bool) {
		if ms == 0 {
			return
		}
		value := time.UnixMilli(ms).UTC().Format(time.RFC3339)
		if madeUp {
			value += ", made up by source.missing_expiry: the row has none"
		}
		plain(name, value)
	}
	party := func(name string, p connect.Party) {
		if p.Object != "" {
			plain(name, p.Object)
			return
		}
		plain(name+".id", p.ID)
	}
	hidden("accessToken", t.AccessToken)
	at("expiresAt", t.ExpiresAt, row.MadeUpExpiry)
	hidden("refreshToken", t.RefreshToken)
	at("refreshTokenExpiresAt", t.RefreshTokenExpiresAt, false)
	plain("subject.type", t.Subject.Type)
	personal("subject.id", t.Subject.ID)
	plain("subject.issuer", t.Subject.Issuer)
	plain("environment", t.Environment)
	plain("installationId", t.InstallationID)
	plain("audience", strings.Join(t.Audience, " "))
	plain("scopes", strings.Join(t.Scopes, " "))
	plain("resources", strings.Join(t.Resources, " "))
	plain("authorizationDetails", t.AuthorizationDetails)
	personal("name", t.Name)
	personal("externalSubject", t.ExternalSubject)
	party("installation", t.Installation)
	party("tenant", t.Tenant)
	hidden("data", t.Data)
	return out
}
