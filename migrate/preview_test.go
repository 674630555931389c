package migrate

import (
	"reflect"
	"testing"

	"tokenmigrate/migrate/connect"
	"tokenmigrate/source"
)

func TestPreview_JudgesAsARunWould(t *testing.T) {
	t.Parallel()
	old := func(r *source.Row) { r.Token.ExpiresAt, r.Token.RefreshToken = 1, connect.Secret{} }
	fresh := func(r *source.Row) { r.Token.ExpiresAt = 1 << 50 }
	rows := []source.Row{
		userRow("1", "ada", fresh), userRow("2", "ada", fresh), userRow("3", "bob", old),
		userRow("4", "cyd", without(source.ReasonMissingExpiry, "none")), userRow("5", "dan", fresh),
	}
	for i, c := range []struct {
		o    Options
		want []Ending
	}{
		{Options{ChunkBytes: 1 << 20}, []Ending{{}, {"invalid", "duplicate"}, {"skipped", "expired"}, {"invalid", "missing_expiry"}, {}}},
		{Options{ChunkBytes: 1 << 20, Policy: Policy{SendExpired: true, SendDuplicates: true}}, []Ending{{}, {}, {}, {"invalid", "missing_expiry"}, {}}},
		{Options{ChunkBytes: 16}, []Ending{{"invalid", "too_large"}, {"invalid", "too_large"}, {"skipped", "expired"}, {"invalid", "missing_expiry"}, {"invalid", "too_large"}}},
	} {
		if got, err := Preview(t.Context(), c.o, rows); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("options %d: got %+v, %v, want %+v", i, got, err, c.want)
		}
	}
}
