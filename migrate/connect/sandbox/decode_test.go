package sandbox

import (
	"encoding/json"
	"strings"
	"testing"
)

// with is a valid token's JSON in which a property has another value, or none
// where the value is empty.
func with(property, value string) string {
	fields := []string{"accessToken", `"a"`, "expiresAt", `1900000000000`, "subject", `{"type":"user","id":"u"}`, "environment", `"production"`}
	var parts []string
	found := false
	for i := 0; i < len(fields); i += 2 {
		v := fields[i+1]
		if fields[i] == property {
			v, found = value, true
		}
		if v != "" {
			parts = append(parts, `"`+fields[i]+`":`+v)
		}
	}
	if !found {
		parts = append(parts, `"`+property+`":`+value)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func TestDecode_IsStrict(t *testing.T) {
	good := with("name", `"n"`)
	for _, c := range []struct{ name, body, want string }{
		{"nothing", "", "the body is missing"},
		{"spaces", " \n", "the body is missing"},
		{"not JSON", "tokens", "not valid JSON"},
		{"other value", `"x"`, "should be object"},
		{"list", `[]`, "should be object"},
		{"more behind", body(good) + "x", "not valid JSON"},
		{"cut", body(good)[:60], "not valid JSON"},
		{"bad UTF-8", body(with("name", "\"\xff\"")), "not valid UTF-8"},
		{"control character", body(with("name", "\"\n\"")), "not valid JSON"},
		{"no tokens", `{}`, "`tokens` is required"},
		{"tokens twice", `{"tokens":[],"tokens":[]}`, "`tokens` appears twice"},
		{"tokens null", `{"tokens":null}`, "`tokens` should be array"},
		{"other property", `{"tokens":[],"dryRun":true}`, `the body should not have the property "dryRun"`},
		{"key in other case", `{"Tokens":[]}`, `the body should not have the property "Tokens"`},
		{"token is no object", `{"tokens":[1]}`, "`tokens[0]` should be object"},
		{"second token", body(good, with("accessToken", "")), "`tokens[1].accessToken` is required"},
		{"no expiresAt", body(with("expiresAt", "")), "`tokens[0].expiresAt` is required"},
		{"no subject", body(with("subject", "")), "`tokens[0].subject` is required"},
		{"no environment", body(with("environment", "")), "`tokens[0].environment` is required"},
		{"unknown property", body(with("provider", `"x"`)), "`tokens[0]` should not have the property \"provider\""},
		{"property in other case", body(with("Name", `"x"`)), "`tokens[0]` should not have the property \"Name\""},
		{"property twice", body(strings.Replace(good, `"name":"n"`, `"name":"n","name":"m"`, 1)), "`tokens[0].name` appears twice"},
		{"property twice by escape", body(strings.Replace(good, `"name":"n"`, `"name":"n","n\u0061me":"m"`, 1)), "`tokens[0].name` appears twice"},
		{"empty credential", body(with("accessToken", `""`)), "`tokens[0].accessToken` should not be empty"},
		{"null optional", body(with("refreshToken", `null`)), "`tokens[0].refreshToken` should be string"},
		{"expiry as text", body(with("expiresAt", `"1"`)), "`tokens[0].expiresAt` should be number"},
		{"expiry too large", body(with("expiresAt", `1e400`)), "`tokens[0].expiresAt` should be a number that fits"},
		{"bad number", body(with("expiresAt", `01`)), "not valid JSON"},
		{"refresh expiry", body(with("refreshTokenExpiresAt", `true`)), "`tokens[0].refreshTokenExpiresAt` should be number"},
		{"environment", body(with("environment", `"staging"`)), "`tokens[0].environment` should be one of"},
		{"environment id", body(with("environment", `"env_"`)), "`tokens[0].environment` should be one of"},
		{"environment id letters", body(with("environment", `"env_ä"`)), "`tokens[0].environment` should be one of"},
		{"subject text", body(with("subject", `"user"`)), "`tokens[0].subject` should be object"},
		{"subject type", body(with("subject", `{"type":"team","id":"x"}`)), "`tokens[0].subject.type` should be user or app"},
		{"subject without type", body(with("subject", `{"id":"x"}`)), "`tokens[0].subject.type` is required"},
		{"user without id", body(with("subject", `{"type":"user"}`)), "`tokens[0].subject.id` is required"},
		{"user with number", body(with("subject", `{"type":"user","id":7}`)), "`tokens[0].subject.id` should be string"},
		{"issuer", body(with("subject", `{"type":"user","id":"7","issuer":null}`)), "`tokens[0].subject.issuer` should be string"},
		{"scopes text", body(with("scopes", `"a b"`)), "`tokens[0].scopes` should be array"},
		{"scope number", body(with("scopes", `["a",1]`)), "`tokens[0].scopes[1]` should be string"},
		{"audience", body(with("audience", `[{}]`)), "`tokens[0].audience[0]` should be string"},
		{"resources", body(with("resources", `[null]`)), "`tokens[0].resources[0]` should be string"},
		{"details", body(with("authorizationDetails", `{}`)), "`tokens[0].authorizationDetails` should be array"},
		{"details without type", body(with("authorizationDetails", `[{"type":"a"},{"x":1}]`)), "`tokens[0].authorizationDetails[1].type` is required"},
		{"installation text", body(with("installation", `"i"`)), "`tokens[0].installation` should be object"},
		{"installation without id", body(with("installation", `{"name":"i"}`)), "`tokens[0].installation.id` is required"},
		{"tenant id", body(with("tenant", `{"id":1}`)), "`tokens[0].tenant.id` should be string"},
		{"tenant name", body(with("tenant", `{"id":"1","name":{}}`)), "`tokens[0].tenant.name` should be string"},
		{"data text", body(with("data", `"d"`)), "`tokens[0].data` should be object"},
		{"data broken", body(with("data", `{"a":[1,]}`)), "not valid JSON"},
		{"data deep", body(with("data", `{"a":`+strings.Repeat("[", 600)+strings.Repeat("]", 600)+`}`)), "nested too deep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := decode(c.body, "c")
			if err == nil {
				t.Fatalf("got no error, want %q", c.want)
			}
			if got := err.message(); !strings.Contains(got, c.want) {
				t.Errorf("got %q, want it to contain %q", got, c.want)
			}
		})
	}
	for _, c := range []struct{ name, body string }{
		{"no tokens", `{"tokens":[]}`},
		{"bare", body(with("name", `""`))},
		{"app", body(with("subject", `{"type":"app"}`))},
		{"app with more", body(with("subject", `{"type":"app","id":"x","more":[{}]}`))},
		{"custom environment", body(with("environment", `"env_Ab-9_"`))},
		{"spaces", " { \"tokens\" :\t[ " + good + "\r\n, " + good + " ] } "},
		{"fraction", body(with("expiresAt", `1.9e12`))},
		{"negative", body(with("expiresAt", `-1`))},
		{"escapes", body(with("name", `"\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00"`))},
	} {
		if _, err := decode(c.body, "c"); err != nil {
			t.Errorf("%s: got %q, want no error", c.name, err.message())
		}
	}
}

func TestDecode_ErrorsTellNoValues(t *testing.T) {
	const canary = "canary-93b1c"
	for _, field := range []string{
		"accessToken", "expiresAt", "refreshToken", "refreshTokenExpiresAt", "subject", "environment", "installationId", "audience",
		"scopes", "resources", "authorizationDetails", "name", "externalSubject", "installation", "tenant", "data",
	} {
		for _, value := range []string{`"` + canary + `"`, `["` + canary + `",1]`, `{"` + canary + `":"` + canary + `","type":1,"id":2}`, `"` + canary + "\n"} {
			if _, err := decode(body(with(field, value)), "c"); err != nil && strings.Contains(err.message(), canary) {
				t.Errorf("%s: got %q, which tells the value", field, err.message())
			}
		}
	}
}

// FuzzDecode holds the decoder against encoding/json: what it accepts is JSON
// whose values it read rightly, and any value that is JSON it can skip.
func FuzzDecode(f *testing.F) {
	f.Add(body(tok("u"), with("data", `{"a":[1,-2.5e+3,true,null,"\u00e4"]}`)))
	f.Add(`{"tokens":[{"accessToken":"\ud800"`)
	f.Add(`[0.5, {"":{}}, "\\", 1E9]`)
	f.Fuzz(func(t *testing.T, text string) {
		p := parser{s: text}
		skipped := p.skip(0) == nil
		p.space()
		if got, want := skipped && p.i == len(text), json.Valid([]byte(text)); got != want && strings.Count(text, "[")+strings.Count(text, "{") < maxDepth {
			t.Errorf("skip: got %v, json.Valid says %v", got, want)
		}
		req, bad := decode(text, "c")
		if bad != nil {
			_ = bad.message()
			return
		}
		var want struct {
			Tokens []struct {
				AccessToken string
				Subject     struct{ ID string }
				Environment string
			}
		}
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("decode accepts what encoding/json does not: %v", err)
		}
		if len(req.tokens) != len(want.Tokens) {
			t.Fatalf("got %d tokens, want %d", len(req.tokens), len(want.Tokens))
		}
		for i, tk := range req.tokens {
			if w := want.Tokens[i]; tk.AccessToken != w.AccessToken || tk.Environment != w.Environment {
				t.Errorf("token %d: got %q, %q, want %q, %q", i, tk.AccessToken, tk.Environment, w.AccessToken, w.Environment)
			}
			if echo := "{" + strings.TrimPrefix(string(req.echo[tk.restFrom:tk.restTo]), ",") + "}"; !json.Valid([]byte(echo)) {
				t.Errorf("token %d: the echo %q is not JSON", i, echo)
			}
		}
	})
}
