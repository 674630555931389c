package report

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("report.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(s *jsonschema.Schema, text []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// jsonOf returns the JSON form.
func jsonOf(t *testing.T, r *Report) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// exampleReports are reports of all kinds, with random ones.
func exampleReports() []*Report {
	list := []*Report{example(), dryExample(), bigDryRun(), bigRun(), liveRun(), New("acme", "run"), New("acme", "dry-run")}
	for seed := range uint64(60) {
		list = append(list, randomReport(rand.New(rand.NewPCG(seed, 8))))
	}
	return list
}

func TestSchema_HoldsForReports(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	for i, r := range exampleReports() {
		if err := validate(s, jsonOf(t, r)); err != nil {
			t.Errorf("report %d: %v", i, err)
		}
	}
}

// TestSchema_KnowsEveryKey fails when a field is added to the model and
// forgotten in the schema, or left out of it.
func TestSchema_KnowsEveryKey(t *testing.T) {
	t.Parallel()
	var doc map[string]any
	if err := json.Unmarshal(Schema(), &doc); err != nil {
		t.Fatal(err)
	}
	defs := doc["$defs"].(map[string]any)
	var compare func(path string, model reflect.Type, in map[string]any)
	compare = func(path string, model reflect.Type, in map[string]any) {
		props, _ := in["properties"].(map[string]any)
		required := map[string]bool{}
		collect := func(from map[string]any) {
			list, _ := from["required"].([]any)
			for _, name := range list {
				required[name.(string)] = true
			}
		}
		collect(in)
		all := map[string]any{}
		for name, p := range props {
			all[name] = p
		}
		refs, _ := in["allOf"].([]any)
		if in["$ref"] != nil {
			refs = append(refs, in)
		}
		for _, ref := range refs {
			def := defs[strings.TrimPrefix(ref.(map[string]any)["$ref"].(string), "#/$defs/")].(map[string]any)
			collect(def)
			for name, p := range def["properties"].(map[string]any) {
				all[name] = p
			}
		}
		for _, f := range reflect.VisibleFields(model) {
			if f.Anonymous {
				continue
			}
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "-" {
				continue
			}
			p, ok := all[name].(map[string]any)
			if !ok {
				t.Errorf("%s.%s: the schema does not know it", path, name)
				continue
			}
			if optional := options != ""; required[name] == optional {
				t.Errorf("%s.%s: the schema requires it: %t, want %t", path, name, required[name], !optional)
			}
			delete(all, name)
			inner := f.Type
			if inner.Kind() == reflect.Slice {
				inner, p = inner.Elem(), p["items"].(map[string]any)
			}
			if inner.Kind() == reflect.Struct && inner.String() != "time.Time" {
				compare(path+"."+name, inner, p)
			}
		}
		for name := range all {
			t.Errorf("%s.%s: the schema has it, and the model has not", path, name)
		}
	}
	compare("report", reflect.TypeFor[Report](), doc)
}

func TestSchema_RefusesWhatIsNoReport(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	for name, change := range map[string]func(map[string]any){
		"another version":     func(m map[string]any) { m["version"] = 2 },
		"a mode":              func(m map[string]any) { m["mode"] = "walk" },
		"no counts":           func(m map[string]any) { delete(m, "counts") },
		"a count as text":     func(m map[string]any) { m["counts"].(map[string]any)["read"] = "1" },
		"a negative count":    func(m map[string]any) { m["counts"].(map[string]any)["read"] = -1 },
		"a connector's count": func(m map[string]any) { delete(m["connectors"].([]any)[0].(map[string]any), "pending") },
		"an unknown span":     func(m map[string]any) { m["expiry"].([]any)[0].(map[string]any)["upTo"] = "2h" },
		"null for a list":     func(m map[string]any) { m["failures"] = nil },
		"no time":             func(m map[string]any) { m["startedAt"] = "yesterday" },
	} {
		var m map[string]any
		if err := json.Unmarshal(jsonOf(t, dryExample()), &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if validate(s, text) == nil {
			t.Errorf("%s: the schema accepts it", name)
		}
	}
}
