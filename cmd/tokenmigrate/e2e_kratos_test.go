package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/migrate/connect/sandbox"
)

// Kratos' own package cipher encrypts the tokens of a table of its shape; init
// recognises it, and its file moves every one, whatever algorithm wrote it.
func TestRealStores_Kratos(t *testing.T) {
	t.Parallel()
	binary := buildKratos(t)
	const newest, oldest = "0123456789abcdef0123456789abcdef", "another-secret-of-32-bytes-12345"
	for _, c := range []struct {
		name     string
		sealedBy []kratosCipher // in turn
		keys     string
	}{
		{"noop", []kratosCipher{{"noop", ""}}, ""},
		{"aes", []kratosCipher{{"aes", newest}}, newest},
		{"xchacha20-poly1305", []kratosCipher{{"xchacha20-poly1305", newest}}, newest},
		{"rotated and mixed", []kratosCipher{{"aes", newest}, {"xchacha20-poly1305", oldest}, {"noop", ""}, {"aes", oldest}}, newest + "," + oldest},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRigOn(t, sandbox.Options{Audit: sandbox.AuditFull}, localpg.Database(t), "")
			accounts := kratosAccounts()
			r.exec(kratosRows(accounts, kratosSeal(t, binary, accounts, c.sealedBy)))
			env := []string{"SECRETS_CIPHER=" + c.keys}
			path := r.initialise("ory-kratos", env)
			cmd := exec.CommandContext(t.Context(), built.path(t), "run", "-c", path)
			cmd.Env = slices.Concat(bareEnvironment(), env)
			for name, value := range r.env {
				cmd.Env = append(cmd.Env, name+"="+value)
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("run: %v\n%s", err, tail(string(out)))
			}
			sent := map[string]sandbox.SentToken{}
			for _, call := range r.endpoint.Audit().Calls {
				for _, token := range call.Tokens {
					sent[token.Subject.ID] = token
				}
			}
			if len(sent) != len(accounts) {
				t.Errorf("the endpoint got %d tokens, want %d", len(sent), len(accounts))
			}
			for _, a := range accounts {
				if got := sent[a.User]; got.AccessToken != a.Access || got.RefreshToken != a.Refresh || got.ExternalSubject != a.External {
					t.Errorf("identity %s: got %.80q, %q, %q; want %.80q, %q, %q", a.User, got.AccessToken, got.RefreshToken, got.ExternalSubject, a.Access, a.Refresh, a.External)
				}
			}
		})
	}
}

// kratosCipher is ciphers.algorithm and the first of secrets.cipher.
type kratosCipher struct{ Algorithm, Secret string }

// kratosAccounts are tokens of several shapes; odd ones cannot be refreshed.
func kratosAccounts() []written {
	var list []written
	for i, access := range []string{"ya29.a0Af", "x", "ä✓日本", strings.Repeat("L", 65_536), "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "0123456789abcdef0123456789abcdef01234567"} {
		a := written{User: fmt.Sprintf("10000000-0000-4000-8000-%012d", i), Provider: "google", External: fmt.Sprintf("ext-%d-ü", i), Access: access}
		if i%2 == 0 {
			a.Refresh = fmt.Sprintf("1//refresh-%d", i)
		}
		list = append(list, a)
	}
	return list
}

// kratosSeal returns what Kratos stores of the accounts' access and refresh tokens,
// by the ciphers in turn.
func kratosSeal(t *testing.T, binary string, accounts []written, ciphers []kratosCipher) []string {
	t.Helper()
	var in bytes.Buffer
	for i, a := range accounts {
		c := ciphers[i%len(ciphers)]
		for _, text := range []string{a.Access, a.Refresh} {
			if err := json.NewEncoder(&in).Encode(map[string]string{"algorithm": c.Algorithm, "secret": c.Secret, "text": text}); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Stdin = &in
	out, err := cmd.Output()
	stored := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if err != nil || len(stored) != 2*len(accounts) {
		t.Fatalf("kratos: %v, %d values, want %d", err, len(stored), 2*len(accounts))
	}
	return stored
}

// kratosRows are Kratos' tables, as far as tokens need them, with the accounts.
func kratosRows(accounts []written, stored []string) string {
	var b strings.Builder
	b.WriteString(`
CREATE TABLE identity_credential_types (id uuid PRIMARY KEY, name varchar(32) NOT NULL UNIQUE);
INSERT INTO identity_credential_types VALUES ('30000000-0000-4000-8000-000000000001', 'oidc');
CREATE TABLE identity_credentials (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), config jsonb NOT NULL, identity_credential_type_id uuid NOT NULL REFERENCES identity_credential_types,
  identity_id uuid NOT NULL, created_at timestamp NOT NULL DEFAULT now(), updated_at timestamp NOT NULL DEFAULT now(), nid uuid, version integer NOT NULL DEFAULT 0);
`)
	for i, a := range accounts {
		fmt.Fprintf(&b, `INSERT INTO identity_credentials (config, identity_credential_type_id, identity_id) VALUES (
  '{"providers":[{"subject":"%s","provider":"%s","initial_id_token":"","initial_access_token":"%s","initial_refresh_token":"%s"}]}', '30000000-0000-4000-8000-000000000001', '%s');
`, a.External, a.Provider, stored[2*i], stored[2*i+1], a.User)
	}
	return b.String()
}

// buildKratos builds the program of testdata/realstores/kratos.
func buildKratos(t *testing.T) string {
	t.Helper()
	unavailable := t.Skipf
	if os.Getenv("CI") == "true" {
		unavailable = t.Fatalf
	} else if testing.Short() {
		t.Skip("downloads Kratos' module, which -short leaves out")
	}
	path := filepath.Join(t.TempDir(), "kratos")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, ".")
	cmd.Dir, cmd.WaitDelay = "testdata/realstores/kratos", 5*time.Second
	if said, err := cmd.CombinedOutput(); err != nil {
		unavailable("Kratos' cipher needs the Go module proxy, and go build failed: %v\n%s", err, said)
	}
	return path
}
