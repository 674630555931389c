package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/checkpoint/pgerr"
)

func TestOpen_TellsWhyItCannot(t *testing.T) {
	t.Parallel()
	url := localpg.Database(t)
	for _, c := range []struct {
		name  string
		port  uint16
		pass  string
		class pgerr.Class
	}{
		{"nobody listens", 1, "", pgerr.Again},
		{"wrong password", 0, "not-this-one", pgerr.Stop},
	} {
		cfg := parse(t, url)
		if cfg.Fallbacks = nil; c.port != 0 {
			cfg.Port = c.port
		}
		if c.pass != "" {
			cfg.Password = c.pass
		}
		s, err := Open(t.Context(), cfg, testSchema)
		if err == nil {
			s.Close()
			t.Errorf("%s: opened", c.name)
			continue
		}
		if got := pgerr.ClassOf(err); got != c.class || !strings.HasPrefix(err.Error(), "connect to the checkpoint database: ") {
			t.Errorf("%s: got class %d, %q, want class %d", c.name, got, err, c.class)
		}
		if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), cfg.Password) {
			t.Errorf("%s: the error tells the password: %v", c.name, err)
		}
	}
}

func TestOpen_LeavesTheConfigurationAlone(t *testing.T) {
	t.Parallel()
	cfg := parse(t, localpg.Database(t))
	before := maps.Clone(cfg.RuntimeParams)
	s, err := Open(t.Context(), cfg, testSchema)
	must(t, err)
	defer s.Close()
	if !maps.Equal(cfg.RuntimeParams, before) {
		t.Errorf("RuntimeParams: got %v, want %v", cfg.RuntimeParams, before)
	}
	equal(t, "application_name", lines(t, s, `SELECT current_setting('application_name')`), "tokenmigrate")
}

func TestCreateMigration_AllWhoRaceGetOne(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const racers = 8
	got := make([]Migration, racers)
	errs := make([]error, racers)
	made := make([][]byte, racers)
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			got[i], errs[i] = s.CreateMigration(t.Context(), "acme", func(key []byte) map[string]string {
				made[i] = bytes.Clone(key)
				return map[string]string{"by": fmt.Sprint(i)}
			})
		})
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	for i := range got {
		if got[i].ID != got[0].ID || !bytes.Equal(got[i].FingerprintKey, got[0].FingerprintKey) || !maps.Equal(got[i].Target, got[0].Target) {
			t.Errorf("racer %d: got %+v, want %+v", i, got[i], got[0])
		}
		for j := range i {
			if bytes.Equal(made[i], made[j]) {
				t.Errorf("racers %d and %d drew the same key", i, j)
			}
		}
	}
	// The target was made with the key that is kept, not with a loser's.
	var winner int
	fmt.Sscan(got[0].Target["by"], &winner)
	if !bytes.Equal(made[winner], got[0].FingerprintKey) || len(got[0].FingerprintKey) != 32 {
		t.Errorf("key: got %x, want the 32 bytes %x", got[0].FingerprintKey, made[winner])
	}
	if m, err := s.Migration(t.Context(), "acme"); err != nil || m.ID != got[0].ID || m.Name != "acme" || m.ChunkCeiling != 0 || m.Paused {
		t.Errorf("Migration: got %+v, %v", m, err)
	}
	if _, err := s.Migration(t.Context(), "Acme"); !errors.Is(err, ErrNoMigration) {
		t.Errorf("another name: got %v, want ErrNoMigration", err)
	}
}

func TestSetTarget_ReplacesAll(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	target := func(m map[string]string) func([]byte) map[string]string {
		return func([]byte) map[string]string { return m }
	}
	m, err := s.CreateMigration(t.Context(), "acme", target(map[string]string{"source": "a", "team": "t"}))
	must(t, err)
	other, err := s.CreateMigration(t.Context(), "other", target(map[string]string{"source": "o"}))
	must(t, err)
	want := map[string]string{"source": `b "quoted" \ 日`, "store": ""}
	must(t, s.SetTarget(t.Context(), m.ID, want))
	for _, c := range []struct {
		name string
		want map[string]string
	}{{"acme", want}, {"other", other.Target}} {
		got, err := s.Migration(t.Context(), c.name)
		if err != nil || !maps.Equal(got.Target, c.want) {
			t.Errorf("%s: got %v, %v, want %v", c.name, got.Target, err, c.want)
		}
	}
}

func TestUsed_TellsWhatWasSent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.lease.Migration
	for _, c := range []struct {
		name, sql string
		sent      bool
		imported  int64
	}{
		{"nothing", `SELECT 1`, false, 0},
		{"rows that cannot be sent", `INSERT INTO {schema}.tokens (migration_id, key, outcome, updated_at) VALUES (MIGRATION, 'a', 'invalid', now()), (MIGRATION, 'b', 'skipped', now())`, false, 0},
		{"an intent", `INSERT INTO {schema}.calls VALUES (gen_random_uuid(), MIGRATION, 0, 1, 'c', '{}', '{}', '{}', '{}', now(), now())`, true, 0},
		{"a refusal", `DELETE FROM {schema}.calls; INSERT INTO {schema}.tokens (migration_id, key, outcome, attempts, updated_at) VALUES (MIGRATION, 'c', 'failed', 1, now())`, true, 0},
		{"imported once, invalid now", `UPDATE {schema}.tokens SET outcome = 'invalid', attempts = 0, imported_at = now() WHERE key = 'c'`, true, 1},
	} {
		b.exec(strings.ReplaceAll(c.sql, "MIGRATION", fmt.Sprint(id)))
		sent, imported, err := b.Used(t.Context(), id)
		if err != nil || sent != c.sent || imported != c.imported {
			t.Errorf("%s: got sent %t, %d imported, %v; want %t, %d", c.name, sent, imported, err, c.sent, c.imported)
		}
	}
}

func TestLowerCeiling_NeverRises(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, c := range []struct{ set, want int }{{100, 100}, {25, 25}, {50, 25}, {25, 25}, {1, 1}, {200, 1}} {
		must(t, b.LowerCeiling(t.Context(), b.lease.Migration, c.set))
		m, err := b.Migration(t.Context(), "acme-slack")
		if err != nil || m.ChunkCeiling != c.want {
			t.Errorf("after %d: got %d, %v, want %d", c.set, m.ChunkCeiling, err, c.want)
		}
	}
}

func TestChanged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		was, is map[string]string
		want    []string
	}{
		{nil, nil, nil},
		{map[string]string{"a": "1"}, map[string]string{"a": "1"}, nil},
		{map[string]string{"a": "1", "b": "2"}, map[string]string{"a": "1", "b": "3"}, []string{"b"}},
		{map[string]string{"z": "1"}, map[string]string{"a": ""}, []string{"a", "z"}},
		{nil, map[string]string{"b": "", "a": ""}, []string{"a", "b"}},
	} {
		if got := Changed(c.was, c.is); !slices.Equal(got, c.want) {
			t.Errorf("Changed(%v, %v): got %v, want %v", c.was, c.is, got, c.want)
		}
	}
}
