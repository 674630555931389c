package main

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/migrate/connect"
	"tokenmigrate/source/stores"
)

// database reads url and password. It returns nil where the command uses no
// database or there is something wrong with it.
func (s *section) database() *pgx.ConnConfig {
	dsn, password := s.text("url"), s.text("password")
	s.l.secrets = append(s.l.secrets, password.text)
	if !dsn.require("give a Postgres URL such as postgres://user@host:5432/database?sslmode=verify-full, or a keyword string") || !s.used {
		return nil
	}
	cfg, why := parseDSN(dsn.text)
	if cfg == nil {
		dsn.problem("%s%s", dsn.of(), why)
		return nil
	}
	written := dsnSettings(dsn.text)
	if literal := dsnSettings(dsn.raw)["password"]; literal != "" && !strings.Contains(literal, "${") {
		dsn.warn("holds a password that stands in this file; take it from elsewhere: ${NAME}, or ${file:/path} under password")
	}
	password.warnIfLiteral()
	s.l.secrets = append(s.l.secrets, cfg.Password, written["password"], written["sslpassword"])
	if written["password"] != "" && password.filled() {
		password.problem("is given beside a password in url; keep one of them")
	}
	if password.filled() {
		cfg.Password = password.text
	}
	if lacksSSLMode(cfg, written) {
		dsn.problem("%s%s", dsn.of(), needsSSLMode)
	}
	return cfg
}

// parseDSN reads a connection string. For one that cannot be used it returns nil
// and what is wrong with it, the end of a sentence that quotes nothing of it.
func parseDSN(dsn string) (cfg *pgx.ConnConfig, why string) {
	if why := badDSN(dsn); why != "" {
		return nil, why
	}
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, dsnWords(err)
	}
	cfg.DialFunc = databaseDialer.DialContext
	return cfg, ""
}

const needsSSLMode = "has no sslmode, and the server is not on this machine; add sslmode=verify-full (or require, or disable where the network is trusted)"

// lacksSSLMode reports whether a connection over a network might go unencrypted
// without anybody having said so. written is what the connection string says.
func lacksSSLMode(cfg *pgx.ConnConfig, written map[string]string) bool {
	return prefersTLS(cfg) && written["sslmode"] == "" && os.Getenv("PGSSLMODE") == ""
}

var dsnURL = regexp.MustCompile(`^postgres(ql)?://`)

// badDSN says what is wrong with a connection string before the driver sees
// it, or "". The driver ends a URL's password at the first @ or /, so that the
// rest of a password with such a character would become a host name, which
// errors quote.
func badDSN(dsn string) string {
	if !dsnURL.MatchString(dsn) {
		if scheme, _, ok := strings.Cut(dsn, "://"); ok && !strings.ContainsAny(scheme, "= '") {
			return "is not a Postgres URL; begin with postgres://"
		}
		return ""
	}
	if strings.ContainsFunc(dsn, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return "is a URL with spaces or line breaks; remove them, or percent-encode them (a space is %20)"
	}
	_, rest, _ := strings.Cut(dsn, "://")
	at, slash := strings.IndexByte(rest, '@'), strings.IndexByte(rest, '/')
	if strings.Count(rest, "@") > 1 || slash >= 0 && at > slash {
		return "has an @ or / where a URL cannot have it; percent-encode the password (@ is %40, / is %2F), or give it under password"
	}
	return ""
}

// dsnWords says in our own words why the driver cannot use a connection string.
// The driver's words quote the string, and with it, at worst, a password.
func dsnWords(err error) string {
	said := err.Error()
	for _, w := range []struct{ contains, words string }{
		{"failed to parse as URL", "is not a valid Postgres URL; write postgres://user@host:5432/database?sslmode=verify-full, with special characters percent-encoded"},
		{"failed to parse as keyword/value", "is neither a Postgres URL nor a keyword string; write postgres://user@host:5432/database?sslmode=verify-full"},
		{"invalid port", "has a port that is not a number from 1 to 65535; correct it, and percent-encode a password with special characters or give it under password"},
		{"port numbers to", "has another number of ports than of hosts; give one port, or one for each host"},
		{"sslmode is invalid", "has an unknown sslmode; use disable, allow, prefer, require, verify-ca or verify-full"},
		{"read CA file", "has an sslrootcert that cannot be read; correct its path"},
		{"add CA to cert pool", "has an sslrootcert without a certificate in PEM form; correct its path or content"},
		{`both "sslcert" and "sslkey"`, "has only one of sslcert and sslkey; give both"},
		{"read sslkey", "has an sslkey that cannot be read; correct its path"},
		{"decode sslkey", "has an sslkey that is not in PEM form; correct its path or content"},
		{"find sslpassword", "has an encrypted sslkey and no sslpassword; give it"},
		{"decrypt key", "has an sslpassword that does not open the sslkey; correct it"},
		{"read cert", "has an sslcert that cannot be read; correct its path"},
		{"load cert", "has an sslcert and an sslkey that do not belong together; correct their paths"},
		{"read service", "names a service that the service file does not hold; correct its name or servicefile"},
		{"connect_timeout", "has a connect_timeout that is not a whole number of seconds; correct it"},
		{"target_session_attrs", "has an unknown target_session_attrs; use any, read-write, read-only, primary, standby or prefer-standby"},
	} {
		if strings.Contains(said, w.contains) {
			return w.words
		}
	}
	return "has a setting that the driver does not accept; check its parameters"
}

// prefersTLS reports whether the driver would take an unencrypted connection
// over a network where an encrypted one fails: sslmode=prefer, its default. It
// then tries each host with TLS and at once again without.
func prefersTLS(cfg *pgx.ConnConfig) bool {
	host, port, encrypted := cfg.Host, cfg.Port, cfg.TLSConfig != nil
	for _, f := range cfg.Fallbacks {
		if encrypted && f.TLSConfig == nil && f.Host == host && f.Port == port && !loopbackHost(host) {
			return true
		}
		host, port, encrypted = f.Host, f.Port, f.TLSConfig != nil
	}
	return false
}

// loopbackHost reports whether a host is this machine: a loopback address,
// localhost or the directory of a Unix socket.
func loopbackHost(host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

var (
	dsnKeyword = regexp.MustCompile(`(?s)([^\s=]+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s\\]|\\.)*)`)
	dsnEscape  = regexp.MustCompile(`(?s)\\(.)`)
)

// dsnSettings returns what a connection string itself says, apart from
// defaults, for a string that the driver accepts.
func dsnSettings(dsn string) map[string]string {
	settings := map[string]string{}
	loc := dsnURL.FindStringIndex(dsn)
	if loc == nil {
		for _, m := range dsnKeyword.FindAllStringSubmatch(dsn, -1) {
			text := strings.TrimSuffix(strings.TrimPrefix(m[2], "'"), "'")
			settings[m[1]] = dsnEscape.ReplaceAllString(text, "$1")
		}
		return settings
	}
	rest := dsn[loc[1]:]
	if userinfo, after, ok := strings.Cut(rest, "@"); ok {
		_, password, _ := strings.Cut(userinfo, ":")
		settings["password"] = unescaped(password)
		rest = after
	}
	_, query, _ := strings.Cut(rest, "?")
	for pair := range strings.SplitSeq(query, "&") {
		name, text, _ := strings.Cut(pair, "=")
		settings[unescaped(name)] = unescaped(text)
	}
	return settings
}

// unescaped undoes percent-encoding; what is none stays as it is.
func unescaped(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

// endpoint reads the destination's URL and returns it without a slash at its end.
func (s *section) endpoint(name, def string) string {
	v := s.text(name)
	if !v.usable {
		return def
	}
	if !v.filled() {
		v.require("leave it out for " + def + ", or give a URL")
		return def
	}
	u, err := url.Parse(v.text)
	if err == nil {
		err = checkEndpoint(u)
	} else {
		err = errors.New("is not a URL; write one such as " + def)
	}
	if err != nil {
		v.problem("%s%v", v.of(), err)
		return def
	}
	return strings.TrimSuffix(v.text, "/")
}

// checkEndpoint says what makes a URL unfit as a destination.
func checkEndpoint(u *url.URL) error {
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return errors.New("is not an https URL; write one such as https://api.vercel.com")
	case u.User != nil:
		return errors.New("holds a user name or password; the credential goes under token")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return errors.New("has a query or fragment; remove it (the team goes under team_id or slug)")
	case u.Path != "" && u.Path != "/":
		return errors.New("has a path; give scheme and host only")
	case u.Port() != "" && !validPort(u.Port()):
		return errors.New("has a port that is not a number from 1 to 65535; correct it")
	case u.Scheme == "http" && !loopbackName(u.Hostname()):
		return errors.New("would send tokens in the clear; use https (http is for loopback addresses only)")
	}
	return nil
}

func validPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0
}

// loopbackName is loopbackHost for a URL's host, where a Unix socket is none.
func loopbackName(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// credential reads the API credential.
func (s *section) credential(c *DestinationConfig) {
	v := s.textIf("token", s.l.need&needCredential != 0)
	s.l.secrets = append(s.l.secrets, v.text)
	if !v.require("give the API credential, such as ${VERCEL_TOKEN} or ${file:/run/secrets/vercel/token}") {
		return
	}
	if !credentialText(v.text) {
		v.problem("%sis not a credential: it holds spaces, line breaks or characters outside ASCII; give the credential alone", v.of())
	}
	v.warnIfLiteral()
	c.Token, c.TokenFile = connect.NewSecret(v.text), v.file
}

// bareVariable is a variable as a shell has it.
var bareVariable = regexp.MustCompile(`^\$[A-Z_][A-Z0-9_]*$`)

// warnIfLiteral warns of a secret that is written out: the file is likely to be
// copied, shown and kept in a repository. One that is a variable's name is a
// problem.
func (v *value) warnIfLiteral() {
	if name := bareVariable.FindString(v.raw); name != "" {
		v.problem("looks like a variable, which is not looked up without braces; write ${%s}", name[1:])
		return
	}
	if v.filled() && len(v.refs) == 0 {
		v.warn("is a secret that stands in this file; take it from elsewhere: ${NAME}, or ${file:/path} for a mounted Secret")
	}
}

// credentialText reports whether text can stand in an Authorization header as
// a bearer credential.
func credentialText(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > unicode.MaxASCII-1 })
}

// replaceMe stands in starter configurations where a connector has to be named.
const replaceMe = "REPLACE_ME"

// checkConnector notes what cannot be one segment of a URL's path, and what a
// starter configuration has there to be filled in.
func (v *value) checkConnector() {
	if v.text != skipConnector && strings.EqualFold(strings.TrimSpace(v.text), skipConnector) {
		v.problem("%s is not a connector; did you mean skip?", v.says())
		return
	}
	if v.filled() && v.text != skipConnector && !strings.Contains(v.text, "/") && !strings.HasPrefix(v.text, "scl_") && v.text != "." && v.text != ".." {
		v.warn("does not look like a connector: an id begins with scl_, and a uid has a slash, such as slack/acme-slack; see that it is right")
	}
	if strings.Contains(v.text, replaceMe) {
		v.problem("%sis not filled in yet; give the connector's id (scl_...) or its uid (such as slack/acme-slack), or skip to leave a provider's rows out", v.of())
	}
	if v.text == "." || v.text == ".." {
		v.problem("%sis not a connector; give its id (scl_...) or its uid (such as slack/acme-slack)", v.of())
	}
}

// warnOfShared warns of a connector that several providers share: it has one OAuth
// client, which alone can refresh its tokens.
func warnOfShared(connectors []*value) {
	first := map[string]*value{}
	for _, v := range connectors {
		if !v.filled() || v.text == skipConnector || strings.Contains(v.text, replaceMe) {
			continue
		}
		if other := first[v.text]; other != nil {
			v.warn("is the connector of %s, too: a connector has one OAuth client, and tokens that another provider issued do not belong to it; name one of each provider's own", other.path)
			continue
		}
		first[v.text] = v
	}
}

// warnOfDefaultTeam warns once if a connector is named within a team and no
// team is.
func warnOfDefaultTeam(connectors []*value) {
	for _, v := range connectors {
		if v.filled() && v.text != skipConnector && !strings.HasPrefix(v.text, "scl_") {
			v.warn("names a connector by its uid, and neither team_id nor slug says whose; the credential's default team decides. Set team_id, or use the connector's id (scl_...)")
			return
		}
	}
}

// knownStore returns the proper name of the store that v names, and notes what
// is wrong with it, its parameters and its keys.
func knownStore(v *value, params, decrypt []*value) string {
	s, ok := stores.ByName(v.text)
	if !ok {
		remedy := "known: " + strings.Join(stores.Names(), ", ")
		if near := nearest(strings.ToLower(v.text), stores.Names()); near != "" && len(v.refs) == 0 {
			remedy = "did you mean " + near + "? " + remedy
		}
		v.problem("%s is not a known store; %s", v.says(), remedy)
		return ""
	}
	if s.NoStore != "" {
		v.problem("%s is no store of tokens: %s", v.says(), s.NoStore)
		return ""
	}
	names := func(n int, name func(int) string) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = name(i)
		}
		return list
	}
	all := s.AllParams()
	known := names(len(all), func(i int) string { return all[i].Name })
	for _, p := range params {
		if problem := s.Check(stores.Params{p.name: p.text})[p.name]; problem != "" {
			p.problem("%s%s", problem, unknownName(p.name, known, "stores "+s.Name))
		}
	}
	known = names(len(s.Keys), func(i int) string { return s.Keys[i].Name })
	for _, k := range decrypt {
		if _, ok := s.Key(k.name); ok {
			continue
		}
		if len(known) == 0 {
			k.problem("is not needed: store %s keeps nothing encrypted; remove it", s.Name)
			continue
		}
		k.problem("is not a key of store %s%s", s.Name, unknownName(k.name, known, "stores "+s.Name))
	}
	return s.Name
}

// unknownName suggests what was meant by a name that is not known, and where to
// look; "" if the name is known.
func unknownName(name string, known []string, command string) string {
	switch near := nearest(name, known); {
	case slices.Contains(known, name):
		return ""
	case near != "":
		return "; did you mean " + near + "? Known are " + strings.Join(known, ", ")
	}
	return "; known are " + strings.Join(known, ", ") + ": see `tokenmigrate " + command + "`"
}
