package stores

import (
	"strings"
	"testing"
)

// Whoever names Supabase learns that it keeps no tokens, and where they may be.
func TestSupabaseAuth_Explains(t *testing.T) {
	for _, name := range []string{"supabase-auth", "Supabase", "gotrue", "supabase-vault"} {
		s, ok := ByName(name)
		if !ok || s != supabaseAuth {
			t.Fatalf("%s: not known", name)
		}
	}
	for _, word := range []string{"provider_refresh_token", "auth.identities", "vault.decrypted_secrets", "tokenmigrate init", "node-aes"} {
		if !strings.Contains(supabaseAuth.NoStore, word) {
			t.Errorf("the answer does not tell of %s", word)
		}
	}
	if _, ok := ByName("node-aes"); !ok {
		t.Error("the answer names preset node-aes, which is not known")
	}
}
