package connect

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestDecodeAnswer_ReadsTolerantly(t *testing.T) {
	user := Subject{Type: "user", ID: "u1"}
	for _, tt := range []struct {
		name, body string
		want       Answer
	}{
		{"as documented", `{"accepted":2,"imported":1,"tokens":[
			{"expiresAt":1,"environment":"production","subject":{"type":"user","id":"u1"},"succeeded":true},
			{"expiresAt":1,"environment":"env_1","subject":{"type":"app"},"succeeded":false}]}`,
			Answer{Accepted: new(2), Imported: new(1), Results: []Result{
				{Succeeded: new(true), HasSubject: true, Subject: user, Environment: "production"},
				{Succeeded: new(false), HasSubject: true, Subject: Subject{Type: "app"}, Environment: "env_1"}}}},
		{"no counts, no results", `{"tokens":[]}`, Answer{Results: []Result{}}},
		{"counts of other types", `{"accepted":"2","imported":1.5,"tokens":[]}`, Answer{Results: []Result{}}},
		{"counts in other spellings", ` { "accepted" : 2.0 , "imported" : 1e1 , "tokens" : [ ] } `,
			Answer{Accepted: new(2), Imported: new(10), Results: []Result{}}},
		{"a count of zero", `{"imported":0,"tokens":[]}`, Answer{Imported: new(0), Results: []Result{}}},
		{"a count beyond counting", `{"imported":1e999,"accepted":1e300,"tokens":[]}`, Answer{Results: []Result{}}},
		{"unknown fields", `{"x":{"tokens":[1]},"tokens":[{"claims":{"succeeded":false},"succeeded":true,"expiresIn":[[{}]]}],"y":null}`,
			Answer{Results: []Result{{Succeeded: new(true)}}}},
		{"an empty result", `{"tokens":[{}]}`, Answer{Results: []Result{{}}}},
		{"succeeded in other types", `{"tokens":[{"succeeded":"true"},{"succeeded":1},{"succeeded":null},{"succeeded":[true]}]}`,
			Answer{Results: []Result{{}, {}, {}, {}}}},
		{"succeeded in another case", `{"tokens":[{"Succeeded":true}]}`, Answer{Results: []Result{{}}}},
		{"succeeded twice alike", `{"tokens":[{"succeeded":true,"succeeded":true}]}`, Answer{Results: []Result{{Succeeded: new(true)}}}},
		{"succeeded twice, contradicting", `{"tokens":[{"succeeded":false,"succeeded":true},{"succeeded":true,"succeeded":"x"},{"succeeded":null,"succeeded":true}]}`,
			Answer{Results: []Result{{}, {}, {}}}},
		{"three times", `{"tokens":[{"succeeded":false,"succeeded":true,"succeeded":true}]}`, Answer{Results: []Result{{}}}},
		{"subjects of every kind", `{"tokens":[{"subject":null},{"subject":"u1"},{"subject":{}},{"subject":{"type":7,"id":"u1"}},
			{"subject":{"type":"user","id":7}},{"subject":{"more":[{"type":"app"}],"issuer":"i","id":"u1","type":"user"}}]}`,
			Answer{Results: []Result{{}, {}, {}, {}, {HasSubject: true, Subject: Subject{Type: "user"}},
				{HasSubject: true, Subject: Subject{Type: "user", ID: "u1", Issuer: "i"}}}}},
		{"installation and tenant", `{"tokens":[
			{"installationId":"a","installation":{"id":"b"},"tenant":{"name":"n","id":"c"}},
			{"installation":{"id":"b"},"tenant":"c"},
			{"installationId":7,"installation":["b"],"tenant":{"id":null}}]}`,
			Answer{Results: []Result{{InstallationID: "a", TenantID: "c"}, {}, {}}}},
		{"escaped text and names", `{"\u0074okens":[{"environment":"a\"}]\\\ud83d\ude00","su\u0063ceeded":true}]}`,
			Answer{Results: []Result{{Environment: "a\"}]\\😀", Succeeded: new(true)}}}},
		{"invalid UTF-8", "{\"tokens\":[{\"environment\":\"a\xff\"}]}", Answer{Results: []Result{{Environment: "a\uFFFD"}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeAnswer([]byte(tt.body), 4)
			if err != nil {
				t.Fatalf("got error %v, want %s", err, show(tt.want))
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %s\nwant %s", show(got), show(tt.want))
			}
		})
	}
}

func TestDecodeAnswer_RefusesWhatNamesNoResults(t *testing.T) {
	for body, want := range map[string]string{
		``:                                    "not JSON",
		` `:                                   "not JSON",
		`{"tokens":[{"succeeded":true}`:       "not JSON",
		`{"tokens":[]}}`:                      "not JSON",
		`<html></html>`:                       "not JSON at byte 1",
		`[]`:                                  "not a JSON object",
		`null`:                                "not a JSON object",
		`"tokens"`:                            "not a JSON object",
		`{}`:                                  `no list "tokens"`,
		`{"Tokens":[]}`:                       `no list "tokens"`,
		`{"tokens":null}`:                     `no list "tokens"`,
		`{"tokens":{"0":{}}}`:                 `no list "tokens"`,
		`{"tokens":[],"tokens":[]}`:           `"tokens" twice`,
		`{"tokens":[{},null]}`:                "at index 1",
		`{"tokens":[true]}`:                   "at index 0",
		`{"tokens":[[{"succeeded":true}]]}`:   "at index 0",
		`{"tokens":["{\"succeeded\":true}"]}`: "at index 0",
	} {
		got, err := decodeAnswer([]byte(body), 1)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %s and error %v, want an error with %q", body, show(got), err, want)
		}
	}
}

func TestDecodeAnswer_BoundsResults(t *testing.T) {
	const n = 3
	limit := maxSpareResults + n*maxResultsPerToken
	body := func(results int) []byte {
		return []byte(`{"tokens":[` + strings.TrimSuffix(strings.Repeat("{},", results), ",") + `]}`)
	}
	if got, err := decodeAnswer(body(limit), n); err != nil || len(got.Results) != limit {
		t.Errorf("got %d results and %v, want %d", len(got.Results), err, limit)
	}
	if _, err := decodeAnswer(body(limit+1), n); err == nil {
		t.Errorf("got no error for %d results to %d tokens", limit+1, n)
	}
}

// FuzzAnswer compares the decoder with encoding/json: what it accepts, and what
// it finds in it.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"accepted":1,"imported":1,"tokens":[{"environment":"production","expiresAt":1,"subject":{"type":"user","id":"u"},"succeeded":true}]}`))
	f.Add([]byte(`{"tokens":[{"subject":7,"tenant":{"id":"\u0041"},"installation":{"id":null},"succeeded":"x"},{}],"more":[[[{}]]]}`))
	f.Add([]byte("{ \"tokens\" : [ {\"succeeded\"\t: false } , {} ]\r\n}"))
	f.Add([]byte(`[1,{"a":"b"},null]`))
	f.Add([]byte(`{"tokens":[],"\u0074":[-0.5e+3,01,1.,.1,-,+1,1e,tru,nul,"\x","\u00g0",{"a":1,},[1,],{"a" 1}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := decodeAnswer(body, 2)
		if err != nil {
			if len(err.Error()) > 200 {
				t.Errorf("got an error of %d bytes", len(err.Error()))
			}
			if strings.Contains(err.Error(), "not JSON") && json.Valid(body) {
				t.Errorf("got %v of %q, which is JSON", err, body)
			}
			return
		}
		var want map[string]any
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("accepted %q, which is no JSON object: %v", body, err)
		}
		list, ok := want["tokens"].([]any)
		if !ok || len(list) != len(got.Results) {
			t.Fatalf("got %d results of %q, want %v", len(got.Results), body, want["tokens"])
		}
		for i, r := range got.Results {
			object, ok := list[i].(map[string]any)
			if !ok {
				t.Fatalf("result %d of %q is no object", i, body)
			}
			if said, ok := object["succeeded"].(bool); r.Succeeded != nil && (!ok || said != *r.Succeeded) {
				t.Errorf("result %d of %q: got succeeded %v, want %v", i, body, *r.Succeeded, object["succeeded"])
			}
			if environment, _ := object["environment"].(string); r.Environment != environment {
				t.Errorf("result %d of %q: got environment %q, want %q", i, body, r.Environment, environment)
			}
			subject, _ := object["subject"].(map[string]any)
			kind, ok := subject["type"].(string)
			if r.HasSubject != ok || r.Subject.Type != kind {
				t.Errorf("result %d of %q: got subject %+v, want %v", i, body, r.Subject, object["subject"])
			}
			tenant, _ := object["tenant"].(map[string]any)
			if id, _ := tenant["id"].(string); r.TenantID != id {
				t.Errorf("result %d of %q: got tenant %q, want %q", i, body, r.TenantID, id)
			}
		}
	})
}

// show prints a value with what its pointers point to.
func show(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// TestScan_IsAsStrictAsEncodingJSON has every kind of wrong text in a field that
// nobody asks for.
func TestScan_IsAsStrictAsEncodingJSON(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, value := range []string{
		"0", "-0", "1.5", "-1.5e+30", "1E5", "01", "1.", ".1", "-", "+1", "1e", "1e+", "0x1", "1_0", "Infinity", "NaN",
		"true", "tru", "truee", "True", "null", "nul", "undefined", `""`, `"a`, `"\"`, `"\\"`, `"\x"`, `"\u12"`, `"\u12g4"`, `"\ud800"`, `"\/"`, "\"\n\"", "\"\x7f\"", "\"\xff\"", `'a'`,
		"{}", "{,}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":1 "b":2}`, `{"a":1,"b":2}`, `{a:1}`, `{1:1}`, `{"a"::1}`, `{"a":1`, `{"a":1]`, `{"\u0061":1}`, `{"\q":1}`,
		"[]", "[,]", "[1,]", "[1 2]", "[1,2]", "[1", "[1}", "", " ", " 1 ", "\t[\r\n1\t]\n", "\v1", "1,", "]", "}", ":", deep(9_000), deep(9_998), deep(9_999), deep(10_000), deep(10_001),
	} {
		for _, body := range []string{`{"tokens":[],"more":` + value + `}`, `{"tokens":[{"more":` + value + `}]}`, value, `{"tokens":[]}` + value} {
			if _, err := decodeAnswer([]byte(body), 1); json.Valid([]byte(body)) == (err != nil && strings.Contains(err.Error(), "not JSON")) {
				t.Errorf("%.60s: got error %v, though it is valid: %t", body, err, json.Valid([]byte(body)))
			}
		}
	}
}
