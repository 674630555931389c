package migrate

import (
	"encoding/hex"
	"reflect"
	"testing"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect"
	"tokenmigrate/source"
)

// fullRow has a value in every field of the token.
func fullRow() source.Row {
	return source.Row{Key: "17", Connector: slack, Token: connect.Token{
		AccessToken: connect.NewSecret("xoxp-1"), ExpiresAt: 1_800_000_000_000,
		RefreshToken: connect.NewSecret("xoxe-1"), RefreshTokenExpiresAt: 1_900_000_000_000,
		Subject:     connect.Subject{Type: "user", ID: "U1", Issuer: "https://issuer.example"},
		Environment: "production", InstallationID: "i-1",
		Audience: []string{"a"}, Scopes: []string{"s", "t"}, Resources: []string{"r"},
		AuthorizationDetails: `[{"type":"x"}]`, Name: "Ada", ExternalSubject: "ext-1",
		Installation: connect.Party{ID: "i-1", Object: `{"id":"i-1","name":"one"}`}, Tenant: connect.Party{ID: "t-1"},
		Data: connect.NewSecret(`{"k":1}`),
	}}
}

// variants changes one thing each; identity says whether that makes the token
// somebody else's.
var variants = []struct {
	name     string
	identity bool
	change   func(*source.Row)
}{
	{"connector", true, func(r *source.Row) { r.Connector = "slack/other" }},
	{"AccessToken", false, func(r *source.Row) { r.Token.AccessToken = connect.NewSecret("xoxp-2") }},
	{"ExpiresAt", false, func(r *source.Row) { r.Token.ExpiresAt++ }},
	{"RefreshToken", false, func(r *source.Row) { r.Token.RefreshToken = connect.NewSecret("xoxe-2") }},
	{"RefreshToken removed", false, func(r *source.Row) { r.Token.RefreshToken = connect.Secret{} }},
	{"RefreshTokenExpiresAt", false, func(r *source.Row) { r.Token.RefreshTokenExpiresAt++ }},
	{"Subject.Type", true, func(r *source.Row) { r.Token.Subject.Type = "app" }},
	{"Subject.ID", true, func(r *source.Row) { r.Token.Subject.ID = "U2" }},
	{"Subject.Issuer", true, func(r *source.Row) { r.Token.Subject.Issuer = "https://other.example" }},
	{"Environment", true, func(r *source.Row) { r.Token.Environment = "preview" }},
	{"InstallationID", true, func(r *source.Row) { r.Token.InstallationID = "i-2" }},
	{"Audience", false, func(r *source.Row) { r.Token.Audience = []string{"b"} }},
	{"Scopes", false, func(r *source.Row) { r.Token.Scopes = []string{"t", "s"} }},
	{"Scopes joined", false, func(r *source.Row) { r.Token.Scopes = []string{"s,t"} }},
	{"Resources", false, func(r *source.Row) { r.Token.Resources = nil }},
	{"AuthorizationDetails", false, func(r *source.Row) { r.Token.AuthorizationDetails = `[{"type":"y"}]` }},
	{"Name", false, func(r *source.Row) { r.Token.Name = "Bob" }},
	{"ExternalSubject", false, func(r *source.Row) { r.Token.ExternalSubject = "ext-2" }},
	{"Installation", false, func(r *source.Row) { r.Token.Installation.Object = `{"id":"i-1","name":"two"}` }},
	{"Tenant", true, func(r *source.Row) { r.Token.Tenant.ID = "t-2" }},
	{"Data", false, func(r *source.Row) { r.Token.Data = connect.NewSecret(`{"k":2}`) }},
}

func TestHasher_IsSensitiveToWhatIsSent(t *testing.T) {
	t.Parallel()
	h := testHasher()
	row := fullRow()
	fingerprint, _ := h.fingerprint(&row)
	identity := h.identity(&row)
	seen := map[checkpoint.Hash]string{fingerprint: "the row itself", identity: "the identity itself"}
	for _, v := range variants {
		row := fullRow()
		v.change(&row)
		got, _ := h.fingerprint(&row)
		if of, same := seen[got]; same {
			t.Errorf("%s: the fingerprint is that of %s", v.name, of)
		}
		seen[got] = v.name
		if changed := h.identity(&row) != identity; changed != v.identity {
			t.Errorf("%s: identity changed %t, want %t", v.name, changed, v.identity)
		}
	}
	key := fullRow()
	key.Key, key.Provider = "18", "slack"
	if got, _ := h.fingerprint(&key); got != fingerprint || h.identity(&key) != identity {
		t.Error("key and provider are not sent, and change the hashes")
	}
	if got, _ := newHasher([]byte("a fixed key for tests"), "api.example/other").fingerprint(&row); got == fingerprint {
		t.Error("the fingerprint is the same at another destination")
	}
	if got, _ := newHasher([]byte("another key"), "api.example/team").fingerprint(&row); got == fingerprint {
		t.Error("the fingerprint is the same under another migration's key")
	}
	for i, hash := range []checkpoint.Hash{fingerprint, identity, h.text("x")} {
		if hash[0] != hashVersion {
			t.Errorf("hash %d begins with %d, want the version %d", i, hash[0], hashVersion)
		}
	}
}

// A field that is added to the token must be given a variant above.
func TestHasher_VariantsCoverTheToken(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{}
	base := reflect.ValueOf(fullRow().Token)
	for _, v := range variants {
		row := fullRow()
		v.change(&row)
		changed := reflect.ValueOf(row.Token)
		for i := range base.NumField() {
			if !reflect.DeepEqual(base.Field(i).Interface(), changed.Field(i).Interface()) {
				covered[base.Type().Field(i).Name] = true
			}
		}
	}
	for i := range base.NumField() {
		if name := base.Type().Field(i).Name; !covered[name] {
			t.Errorf("no variant changes Token.%s", name)
		}
		if base.Field(i).IsZero() {
			t.Errorf("the full row has no Token.%s", base.Type().Field(i).Name)
		}
	}
}

func TestHasher_MadeUpExpiryEntersAsMissing(t *testing.T) {
	t.Parallel()
	h := testHasher()
	made, later := fullRow(), fullRow()
	made.MadeUpExpiry, later.MadeUpExpiry = true, true
	later.Token.ExpiresAt += 86_400_000
	a, size := h.fingerprint(&made)
	if b, _ := h.fingerprint(&later); a != b {
		t.Error("a made-up expiry, counted from another moment, makes the token look changed")
	}
	known := fullRow()
	if b, _ := h.fingerprint(&known); a == b {
		t.Error("an expiry that became known goes unnoticed")
	}
	if want := len(made.Token.AppendJSON(nil)); size != want {
		t.Errorf("got size %d, want %d: that of the token as it is sent, not as it is hashed", size, want)
	}
	if made.Token.ExpiresAt != known.Token.ExpiresAt {
		t.Error("taking the fingerprint changed the row")
	}
}

func TestHasher_SizeIsThatOfTheBody(t *testing.T) {
	t.Parallel()
	row := fullRow()
	_, size := testHasher().fingerprint(&row)
	if want := len(row.Token.AppendJSON(nil)); size != want {
		t.Errorf("got %d bytes, want %d", size, want)
	}
}

func TestHasher_NeighboursAreNotMixedUp(t *testing.T) {
	t.Parallel()
	h := testHasher()
	of := func(connector, environment string, s connect.Subject, installation, tenant string) checkpoint.Hash {
		return h.identity(&source.Row{Connector: connector, Token: connect.Token{Environment: environment, Subject: s, InstallationID: installation, Tenant: connect.Party{ID: tenant}}})
	}
	subject := func(kind, id, issuer string) connect.Subject {
		return connect.Subject{Type: kind, ID: id, Issuer: issuer}
	}
	seen := map[checkpoint.Hash]int{}
	for i, hash := range []checkpoint.Hash{
		of("ab", "c", subject("user", "x", ""), "", ""),
		of("a", "bc", subject("user", "x", ""), "", ""),
		of("abc", "", subject("user", "x", ""), "", ""),
		of("ab", "c", subject("user", "", "x"), "", ""),
		of("ab", "c", subject("user", "", ""), "x", ""),
		of("ab", "c", subject("user", "", ""), "", "x"),
		of("ab", "c", subject("user", "x\x00", ""), "", ""),
		of("ab", "c", subject("user", "x\x01y", ""), "", ""),
		of("ab", "c", subject("user", "x", "y"), "", ""),
		h.text("ab"),
	} {
		if j, same := seen[hash]; same {
			t.Errorf("lists %d and %d give one identity", j, i)
		}
		seen[hash] = i
	}
	if got := appendText(nil, "a", "bc"); string(got) != "\x01a\x02bc" {
		t.Errorf("got %q, want each text behind its length", got)
	}
}

// These values stand in the checkpoints of running migrations: with others,
// every token that was imported would be sent again. Where they must change,
// hashVersion has to grow.
func TestHasher_GoldenValues(t *testing.T) {
	t.Parallel()
	h := testHasher()
	row := fullRow()
	fingerprint, _ := h.fingerprint(&row)
	identity, text := h.identity(&row), h.text("SELECT 1")
	row.MadeUpExpiry = true
	madeUp, _ := h.fingerprint(&row)
	for _, c := range []struct {
		name string
		got  checkpoint.Hash
		want string
	}{
		{"fingerprint", fingerprint, "01bf9a974138257b5c6dab5a0bf6092d"},
		{"fingerprint, expiry made up", madeUp, "01616a581d800698a22ed072f07c393e"},
		{"identity", identity, "015de62d216af7b34979939236e8f303"},
		{"text", text, "01a1adab4bb8caf1acf2a63e02901734"},
	} {
		if got := hex.EncodeToString(c.got[:]); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}
