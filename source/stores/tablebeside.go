package stores

import (
	"slices"
	"strings"
)

// besideParams are the parameters for columns that hold a part of an encrypted
// value each: access_token_iv and so on.
func besideParams(parts ...string) []Param {
	docs := map[string]string{"iv": "the IV or nonce", "tag": "the authentication tag", "salt": "the salt"}
	var list []Param
	for _, part := range parts {
		for _, of := range besideColumns {
			list = append(list, Param{Name: of + "_" + part, Doc: "the column with " + docs[part] + " of " + of + ", where it has one of its own"})
		}
	}
	return list
}

var besideColumns = []string{"access_token", "refresh_token", "response"}

// findBeside sets the parameters of besideParams: to <column>_<part> in any
// spelling of its name, or to a column that is called only by one of the names of
// the part, which all columns share.
func findBeside(t *Table, p, given Params, part string, names ...string) bool {
	return findParts(t, p, given, part, names, append([]string{part}, names...))
}

// findParts is findBeside; only the columns of shared are taken for what all columns
// share: many tables have a nonce, a tag or a salt for other ends.
func findParts(t *Table, p, given Params, part string, names, shared []string) bool {
	for _, of := range besideColumns {
		param, column := of+"_"+part, p[of]
		switch {
		case given[param] != "":
			if !t.Has(given[param]) {
				return false
			}
			p[param] = given[param]
		case column != "":
			var list []string
			for _, name := range append([]string{part}, names...) {
				for _, base := range []string{column, of, strings.TrimPrefix(column, "encrypted_"), strings.TrimSuffix(column, "_encrypted")} {
					list = append(list, base+"_"+name, camel(base+"_"+name))
				}
			}
			p[param] = t.First(slices.Concat(list, shared)...)
		}
	}
	return true
}

// besideSQL selects the columns of findBeside, under the names of their
// parameters, and besideInputs lists them.
func besideSQL(p Params, parts ...string) []string {
	var list []string
	for _, input := range besideInputs(p, parts...) {
		list = append(list, optional(p[input], input))
	}
	return list
}

func besideInputs(p Params, parts ...string) []string {
	var list []string
	for _, param := range besideParams(parts...) {
		if p[param.Name] != "" {
			list = append(list, param.Name)
		}
	}
	return list
}

// beside returns the inputs of one column, by the names of the parts.
func beside(p Params, column string, parts ...string) map[string]string {
	with := map[string]string{}
	for _, part := range parts {
		if param := strings.TrimPrefix(column, "token_") + "_" + part; p[param] != "" {
			with[part] = param
		}
	}
	return with
}
