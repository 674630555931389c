package stores

import "slices"

// supabaseAuth is an answer: Supabase Auth hands provider tokens out and keeps
// none. Facts: supabase/auth and supabase/vault, sources and migrations.
var supabaseAuth = &Store{
	Name: "supabase-auth", Aliases: []string{"supabase", "gotrue", "supabase-vault"},
	Title: "Supabase Auth",
	NoStore: `Supabase Auth is not a token store. It hands provider_token and
provider_refresh_token to your app once, at sign-in, and keeps neither: auth.users
and auth.identities hold profiles only, and auth.flow_state holds tokens of
sign-ins that were never finished.

If your app needs provider tokens later, it keeps them in a table of its own.
Migrate that one:

  - A table with columns for provider, user, access and refresh token and expiry:
    "tokenmigrate init" finds it, and drafts the query. Its user_id is the id of
    auth.users, which is the subject to import.
  - Encrypted by the app: name the preset of its cipher as source.store, such as
    node-aes, and give the table in source.params.
  - In Supabase Vault, where the table holds ids of secrets: only the server can
    decrypt those. Write a query that reads the view vault.decrypted_secrets, as a
    role that may SELECT from it, and over TLS, since it answers in the clear:

      SELECT t.id AS key, t.provider, a.decrypted_secret AS access_token,
        r.decrypted_secret AS refresh_token, t.expires_at, t.user_id AS subject_id
      FROM public.user_integrations AS t
        LEFT JOIN vault.decrypted_secrets AS a ON a.id = t.access_token_secret_id
        LEFT JOIN vault.decrypted_secrets AS r ON r.id = t.refresh_token_secret_id

    A dump that was restored elsewhere has another root key: there the view fails.

  - The provider's own id of an account, for external_subject, is
    auth.identities.provider_id of the same user_id and provider.

If your app keeps no tokens at all, there is nothing to migrate: users connect
anew, once, through Connect.`,
	Find: findSupabaseAuth,
}

// findSupabaseAuth finds the schema of Supabase Auth, and with it that of its
// Vault.
func findSupabaseAuth(c *Catalogue, _ Params) []Match {
	isUsers := func(t *Table) bool { return t.Schema == "auth" && t.Name == "users" && t.Has("raw_app_meta_data") }
	if !slices.ContainsFunc(c.Tables, isUsers) {
		return nil
	}
	m := Match{Variant: "schema auth"}
	for _, t := range c.Tables {
		if t.Schema == "auth" || t.Schema == "vault" {
			m.Tables = append(m.Tables, t)
		}
	}
	return []Match{m}
}
