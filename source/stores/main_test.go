package stores

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"tokenmigrate/checkpoint/localpg"
)

func TestMain(m *testing.M) {
	os.Exit(localpg.Main(m.Run, func() error { return goleak.Find() }))
}

// newDatabase makes a database, runs statements in it, and returns its
// configuration.
func newDatabase(t testing.TB, statements ...string) *pgx.ConnConfig {
	t.Helper()
	config, err := pgx.ParseConfig(localpg.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	execute(t, config, statements...)
	return config
}

// execute runs statements, several in one text if need be; each must succeed.
func execute(t testing.TB, config *pgx.ConnConfig, statements ...string) {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, sql := range statements {
		if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}
