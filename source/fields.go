package source

import (
	"encoding/binary"
	"encoding/json"
	"strings"

	"tokenmigrate/migrate/connect"
)

// list reads scopes, audience or resources: an array, JSON, or text split at
// spaces and commas. NULL and empty elements are dropped.
func (m *mapper) list(row *Row, f field) []string {
	v := m.values[f]
	var list []string
	var problem string
	switch v.kind {
	case kindNone:
		return nil
	case kindList:
		if list = arrayElements(v.text); list == nil {
			problem = "cannot be read as an array"
		}
	case kindJSON:
		list, problem = jsonList(v.text)
	default:
		if strings.HasPrefix(v.text, "[") {
			if parsed, bad := jsonList(v.text); bad == "" {
				list = parsed
				break
			}
		}
		list = splitList(v.text)
	}
	kept := list[:0]
	for _, s := range list {
		if v.kind == kindList { // char(n)[] pads its elements
			s = strings.TrimRight(s, " ")
		}
		if s == "" {
			continue
		}
		if p := textProblem(s); p != "" {
			problem = p
		}
		kept = append(kept, s)
	}
	if problem != "" {
		row.fail(ReasonInvalidField, f.String()+" "+problem)
	}
	if problem != "" || len(kept) == 0 {
		return nil
	}
	return kept
}

// splitList splits text at spaces and commas.
func splitList(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool {
		return c == ' ' || c == ',' || c == '\t' || c == '\n' || c == '\r'
	})
}

// jsonList reads a JSON array of strings; a JSON string is split as text is,
// and JSON null is an empty list.
func jsonList(text string) (list []string, problem string) {
	const wanted = "must be a JSON array of strings"
	switch {
	case isNull(text):
		return nil, ""
	case firstByte(text) == '"':
		var s string
		if json.Unmarshal([]byte(text), &s) != nil {
			return nil, wanted
		}
		return splitList(s), ""
	}
	var elements []*string
	if firstByte(text) != '[' || json.Unmarshal([]byte(text), &elements) != nil {
		return nil, wanted
	}
	list = make([]string, len(elements))
	for i, element := range elements {
		if element == nil {
			return nil, wanted
		}
		list[i] = *element
	}
	return list, ""
}

// arrayElements reads a binary Postgres array of strings, of any dimensions,
// row by row; NULL elements come as "". It returns nil for what is none.
func arrayElements(data string) []string {
	number := func() (int, bool) {
		if len(data) < 4 {
			return 0, false
		}
		n := int32(binary.BigEndian.Uint32([]byte(data[:4])))
		data = data[4:]
		return int(n), true
	}
	dimensions, ok := number()
	if !ok || dimensions < 0 || len(data) < 8+8*dimensions {
		return nil
	}
	data = data[8+8*dimensions:] // flags, element type, and each length and lower bound
	list := []string{}
	for len(data) > 0 {
		n, ok := number()
		if !ok || n > len(data) || n < -1 {
			return nil
		}
		n = max(n, 0)
		list = append(list, data[:n])
		data = data[n:]
	}
	return list
}

// details reads authorization_details: an array of objects with a string type.
func (m *mapper) details(row *Row) string {
	text := m.text(fAuthorizationDetails)
	if text == "" || isNull(text) {
		return ""
	}
	ok := json.Valid([]byte(text)) && textProblem(text) == "" && firstByte(text) == '['
	var elements []map[string]json.RawMessage
	ok = ok && json.Unmarshal([]byte(text), &elements) == nil
	for _, element := range elements {
		ok = ok && firstByte(string(element["type"])) == '"'
	}
	if !ok {
		row.fail(ReasonInvalidField, wrongJSON(fAuthorizationDetails, "a JSON array of objects, each with a string \"type\""))
		return ""
	}
	return text
}

// data reads the data column: an object.
func (m *mapper) data(row *Row) connect.Secret {
	text := m.text(fData)
	if text == "" || isNull(text) {
		return connect.Secret{}
	}
	if firstByte(text) != '{' || !json.Valid([]byte(text)) || textProblem(text) != "" {
		row.fail(ReasonInvalidField, wrongJSON(fData, "a JSON object"))
		return connect.Secret{}
	}
	return connect.NewSecret(text)
}

// party reads installation or tenant: an object with an id, or the id itself.
func (m *mapper) party(row *Row, f field) connect.Party {
	v := m.values[f]
	p := connect.Party{ID: v.text}
	ok := true
	if v.kind == kindJSON {
		p, ok = jsonParty(v.text)
	}
	if problem := textProblem(p.ID + p.Object); !ok || problem != "" {
		if ok {
			row.fail(ReasonInvalidField, f.String()+" "+problem)
		} else {
			row.fail(ReasonInvalidField, wrongJSON(f, "a JSON object with a non-empty string \"id\", or the id itself"))
		}
		return connect.Party{}
	}
	return p
}

func jsonParty(text string) (connect.Party, bool) {
	data := []byte(text)
	switch c := firstByte(text); {
	case isNull(text):
		return connect.Party{}, true
	case c == '"':
		var id string
		err := json.Unmarshal(data, &id)
		return connect.Party{ID: id}, err == nil
	case c == '{':
		// A map, since a struct's field would also take an "ID".
		var object map[string]json.RawMessage
		var id string
		if json.Unmarshal(data, &object) != nil || firstByte(string(object["id"])) != '"' || json.Unmarshal(object["id"], &id) != nil || id == "" {
			return connect.Party{}, false
		}
		return connect.Party{ID: id, Object: text}, true
	case c == '-' || c >= '0' && c <= '9':
		return connect.Party{ID: strings.TrimSpace(text)}, json.Valid(data)
	}
	return connect.Party{}, false
}

// isNull reports whether JSON text is null.
func isNull(text string) bool { return strings.Trim(text, " \t\r\n") == "null" }

// firstByte returns the first byte of JSON text behind its space, or 0.
func firstByte(text string) byte {
	if text = strings.TrimLeft(text, " \t\r\n"); text != "" {
		return text[0]
	}
	return 0
}
