package connect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// fullToken has every field.
func fullToken() Token {
	return Token{
		AccessToken: NewSecret("access-1"), ExpiresAt: 1790000000000,
		RefreshToken: NewSecret("refresh-1"), RefreshTokenExpiresAt: 1800000000000,
		Subject:        Subject{Type: SubjectUser, ID: "user_1", Issuer: "https://idp.example"},
		Environment:    "production",
		InstallationID: "inst_1", Audience: []string{"a"}, Scopes: []string{"chat:write", "users:read"}, Resources: []string{"r"},
		AuthorizationDetails: `[{"type":"x"}]`, Name: "Ann", ExternalSubject: "U1",
		Installation: Party{ID: "i", Object: `{"id":"i","name":"I"}`}, Tenant: Party{ID: "t"},
		Data: NewSecret(`{"bot":{"id":"B1"}}`),
	}
}

func minimalToken() Token {
	return Token{AccessToken: NewSecret("access-2"), ExpiresAt: 1790000000000, Subject: Subject{Type: SubjectApp}, Environment: "preview"}
}

// requestSchema compiles the reference page's schema, made stricter: a property
// that the page does not name is refused. With custom, environment may also be
// the id of a custom environment, as later copies of the page allow.
func requestSchema(t *testing.T, custom bool) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile("testdata/import-request.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	body := doc.(map[string]any)
	body["additionalProperties"] = false
	token := body["properties"].(map[string]any)["tokens"].(map[string]any)["items"].(map[string]any)
	token["additionalProperties"] = false
	if custom {
		properties := token["properties"].(map[string]any)
		properties["environment"] = map[string]any{"anyOf": []any{
			properties["environment"], map[string]any{"type": "string", "pattern": "^env_[A-Za-z0-9_-]+$"}}}
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("request.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("request.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func validate(schema *jsonschema.Schema, body []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

func TestAppendBody_FitsTheDocumentedSchema(t *testing.T) {
	documented, later := requestSchema(t, false), requestSchema(t, true)
	in := func(environment string) []Token {
		full, minimal := fullToken(), minimalToken()
		full.Environment, minimal.Environment = environment, environment
		return []Token{full, minimal}
	}
	for _, tt := range []struct {
		name      string
		tokens    []Token
		now, soon bool // fits the documented schema, the later one
	}{
		{"production", in("production"), true, true},
		{"preview", in("preview"), true, true},
		{"development", in("development"), true, true},
		{"custom", in("env_AbC-1_2"), false, true},
		{"misspelled", in("prod"), false, false},
		{"none", in(""), false, false},
		{"no tokens", nil, true, true},
	} {
		body := AppendBody(nil, tt.tokens)
		if err := validate(documented, body); (err == nil) != tt.now {
			t.Errorf("%s: got %v from the documented schema, want valid %t", tt.name, err, tt.now)
		}
		if err := validate(later, body); (err == nil) != tt.soon {
			t.Errorf("%s: got %v from the later schema, want valid %t", tt.name, err, tt.soon)
		}
		for _, token := range tt.tokens {
			if got := ValidEnvironment(token.Environment); got != tt.soon {
				t.Errorf("%s: got ValidEnvironment %t, want %t", tt.name, got, tt.soon)
			}
		}
	}
}

func TestToken_AppendJSONIsStable(t *testing.T) {
	full, minimal, odd := fullToken(), minimalToken(), minimalToken()
	odd.Name = "\"\\/<&>\n\x00\x1f\x7f\u2028é😀"
	for _, tt := range []struct {
		token Token
		want  string
	}{
		{full, `{"accessToken":"access-1","expiresAt":1790000000000,"refreshToken":"refresh-1","refreshTokenExpiresAt":1800000000000,` +
			`"subject":{"type":"user","id":"user_1","issuer":"https://idp.example"},"environment":"production","installationId":"inst_1",` +
			`"audience":["a"],"scopes":["chat:write","users:read"],"resources":["r"],"authorizationDetails":[{"type":"x"}],"name":"Ann",` +
			`"externalSubject":"U1","installation":{"id":"i","name":"I"},"tenant":{"id":"t"},"data":{"bot":{"id":"B1"}}}`},
		{minimal, `{"accessToken":"access-2","expiresAt":1790000000000,"subject":{"type":"app"},"environment":"preview"}`},
		{odd, `{"accessToken":"access-2","expiresAt":1790000000000,"subject":{"type":"app"},"environment":"preview","name":"\"\\/<&>` +
			`\u000a\u0000\u001f` + "\x7f\u2028é😀" + `"}`},
	} {
		if got := string(tt.token.AppendJSON([]byte("x"))); got != "x"+tt.want {
			t.Errorf("got  %s\nwant x%s", got, tt.want)
		}
	}
}

// FuzzToken sends any text in every field: the body must be JSON that reads as
// what was put in, and as long as the overheads say.
func FuzzToken(f *testing.F) {
	f.Add("plain", "a\"b\\c\x00\x1f\x7f", "é\u2028😀</script>&", int64(1))
	f.Add("", "\n\r\t\b\f", "\U0010ffff", int64(-1))
	f.Fuzz(func(t *testing.T, a, b, c string, n int64) {
		if !utf8.ValidString(a) || !utf8.ValidString(b) || !utf8.ValidString(c) {
			t.Skip() // not text: Token's comment asks for it
		}
		object, _ := json.Marshal(map[string]string{"id": c, "more": a})
		tokens := []Token{
			{AccessToken: NewSecret(a), ExpiresAt: n, RefreshToken: NewSecret(b), RefreshTokenExpiresAt: n,
				Subject: Subject{Type: b, ID: c, Issuer: a}, Environment: c, InstallationID: a,
				Audience: []string{a, b}, Scopes: []string{b}, Resources: []string{c, "", a}, Name: b, ExternalSubject: c,
				Installation: Party{ID: b}, Tenant: Party{Object: string(object)}, Data: NewSecret(string(object))},
			minimalToken(), fullToken(),
		}
		body := AppendBody(nil, tokens)
		length := BodyOverhead + (len(tokens)-1)*TokenOverhead
		for i := range tokens {
			length += len(tokens[i].AppendJSON(nil))
		}
		if len(body) != length {
			t.Errorf("got %d bytes, want %d", len(body), length)
		}
		var got struct{ Tokens []map[string]any }
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if err := d.Decode(&got); err != nil || d.More() {
			t.Fatalf("body is no JSON: %v: %s", err, body)
		}
		want := map[string]any{
			"accessToken": a, "expiresAt": json.Number(fmt.Sprint(n)), "environment": c,
			"subject":  without(map[string]any{"type": b, "id": c, "issuer": a}, "id", "issuer"),
			"audience": []any{a, b}, "scopes": []any{b}, "resources": []any{c, "", a},
			"refreshToken": b, "refreshTokenExpiresAt": json.Number(fmt.Sprint(n)),
			"installationId": a, "name": b, "externalSubject": c,
			"tenant": map[string]any{"id": c, "more": a}, "data": map[string]any{"id": c, "more": a},
		}
		if b != "" {
			want["installation"] = map[string]any{"id": b}
		}
		if n == 0 {
			delete(want, "refreshTokenExpiresAt")
		}
		want = without(want, "refreshToken", "installationId", "name", "externalSubject")
		if len(got.Tokens) != len(tokens) || !reflect.DeepEqual(got.Tokens[0], want) {
			t.Errorf("got  %v\nwant %v", got.Tokens[0], want)
		}
	})
}

// without leaves out those of the names whose value is "".
func without(object map[string]any, names ...string) map[string]any {
	for _, name := range names {
		if object[name] == "" {
			delete(object, name)
		}
	}
	return object
}

func TestSecret_PrintsNowhere(t *testing.T) {
	type holder struct {
		Public  Secret
		private Secret
		Pointer *Secret
		List    []Secret
		Map     map[string]Secret
	}
	secret := NewSecret(planted)
	h := holder{secret, secret, &secret, []Secret{secret}, map[string]Secret{"k": secret}}
	token := fullToken()
	token.AccessToken, token.RefreshToken, token.Data = secret, secret, secret
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{h, &h, h.private, token, &token} {
			if got := fmt.Sprintf(verb, value); leaked(got, planted) != "" {
				t.Errorf("%s of %T: got %s", verb, value, got)
			}
		}
	}
	text, err := json.Marshal(h)
	if err != nil || leaked(string(text), planted) != "" || !strings.Contains(string(text), redacted) {
		t.Errorf("got %s and %v, want every secret redacted", text, err)
	}
	if err := json.Unmarshal([]byte(`"x"`), &secret); err == nil {
		t.Error("got no error unmarshalling into a Secret")
	}
	if got := NewSecret(planted).Reveal(); got != planted {
		t.Errorf("got %q, want %q", got, planted)
	}
	if !NewSecret("").Empty() || NewSecret("x").Empty() || (Secret{}).Reveal() != "" {
		t.Error("an empty Secret is not empty, or another is")
	}
}
