package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tokenmigrate/source/stores"
)

func (a *app) storesCommand() *cobra.Command {
	var set []string
	cmd := &cobra.Command{
		Use:   "stores [NAME]",
		Short: "List the known stores; with NAME, how that one is read",
		Long: `Lists the stores that source.store can name. With NAME it tells the store's
parameters (source.params), its cipher and keys (source.decrypt), what of it is
left out, what to know of it, and the query that reads it, here for a database as
the store makes it; in a real one the tables and columns are found by looking.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.FixedCompletions(stores.Names(), cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listStores(a.stdout)
			}
			s, err := storeNamed(args[0])
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			params, err := setParams(s, set)
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			return tellStore(a.stdout, s, params)
		},
	}
	cmd.Flags().StringArrayVar(&set, "set", nil, "NAME=VALUE: show the query with this parameter; may be repeated")
	return cmd
}

// storeNamed returns the store of that name or alias.
func storeNamed(name string) (*stores.Store, error) {
	if s, ok := stores.ByName(name); ok {
		return s, nil
	}
	err := fmt.Errorf("store %q is not known", name)
	if near := nearest(strings.ToLower(name), stores.Names()); near != "" {
		err = fmt.Errorf("%w; did you mean %s?", err, near)
	}
	return nil, err
}

// setParams reads --set flags, and checks them as parameters of a store.
func setParams(s *stores.Store, set []string) (stores.Params, error) {
	params := stores.Params{}
	for _, text := range set {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("--set %s: write NAME=VALUE", text)
		}
		params[name] = value
	}
	problems := s.Check(params)
	var known []string
	for _, p := range s.AllParams() {
		known = append(known, p.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(problems)) {
		return nil, fmt.Errorf("--set: %s %s%s", name, problems[name], unknownName(name, known, "stores "+s.Name))
	}
	return params, nil
}

func listStores(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSTORE\tENCRYPTED\tWHAT IT IS")
	for _, s := range stores.All() {
		if s.NoStore != "" {
			fmt.Fprintf(t, "%s\t%s\t-\tkeeps no tokens: see `tokenmigrate stores %s`\n", s.Name, s.Title, s.Name)
			continue
		}
		encrypted := "no"
		if s.Cipher != "" {
			encrypted = "yes"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", s.Name, s.Title, encrypted, s.Summary)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\n`tokenmigrate stores NAME` tells more of one; `tokenmigrate init` finds out which of them a database has.")
	return err
}

// tellStore prints all there is to know of one store.
func tellStore(w io.Writer, s *stores.Store, set stores.Params) error {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("%s (%s)", s.Title, strings.Join(append([]string{s.Name}, s.Aliases...), ", "))
	if s.NoStore != "" {
		say("\n%s", s.NoStore)
		_, err := io.WriteString(w, b.String())
		return err
	}
	say("%s", s.Summary)
	for _, warning := range s.Warnings {
		say("\n! %s", warning)
	}
	table := func(title string, rows [][2]string) {
		if len(rows) == 0 {
			return
		}
		say("\n%s", title)
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, row := range rows {
			fmt.Fprintf(t, "  %s\t%s\n", row[0], row[1])
		}
		t.Flush()
	}
	var rows [][2]string
	for _, p := range s.AllParams() {
		doc := p.Doc
		if len(p.Choices) > 0 {
			doc += ": " + strings.Join(p.Choices, ", ")
		}
		if p.Default != "" {
			doc += " (" + p.Default + ")"
		}
		rows = append(rows, [2]string{p.Name, doc})
	}
	table("Parameters, in source.params; tables and columns are found by looking where they are not given:", rows)
	if s.Cipher != "" {
		say("\nEncrypted: %s", s.Cipher)
	}
	rows = nil
	for _, k := range s.Keys {
		name := k.Name + ": "
		if k.Env != "" {
			name += "${" + k.Env + "}"
		}
		rows = append(rows, [2]string{name, k.Doc})
	}
	table("Keys, in source.decrypt:", rows)
	rows = nil
	for _, reason := range slices.Sorted(maps.Keys(s.Skips)) {
		rows = append(rows, [2]string{string(reason), s.Skips[reason]})
	}
	table("Left out, counted as skipped with the reason:", rows)
	rows = nil
	for _, provider := range slices.Sorted(maps.Keys(s.MissingExpiry.ByProvider)) {
		rows = append(rows, [2]string{provider, showDuration(s.MissingExpiry.ByProvider[provider])})
	}
	if s.MissingExpiry.Default > 0 {
		rows = append(rows, [2]string{"default", showDuration(s.MissingExpiry.Default)})
	} else if len(rows) > 0 {
		rows = append(rows, [2]string{"default", "reject"})
	}
	table("Where no expiry is known, unless source.missing_expiry says otherwise:", rows)
	say("\nQuery:\n%s", s.SQL(s.Defaults().With(set)))
	_, err := io.WriteString(w, b.String())
	return err
}
