package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"tokenmigrate/migrate"
	"tokenmigrate/migrate/connect"
)

const (
	endpointLimit  = 15 * time.Second // of one request
	connectorsMost = 50               // that are read; a team may read 200 a minute
)

// endpoint looks whether the endpoint can be reached, and whether it accepts the
// credential and knows the connectors. It makes no import call.
func (c *checkup) endpoint(ctx context.Context) {
	c.group = groupEndpoint
	if c.client == nil {
		c.leftOut("it needs destination.url and the team")
		c.hasCredential()
		return
	}
	reached := c.reach(ctx)
	connectors := c.named()
	usable := c.hasCredential()
	c.team(connectors)
	if !reached || !usable {
		return
	}
	if len(connectors) == 0 {
		c.warn("credential", "have rows in the source that name one", "no connector is known to ask for, so that the credential could not be tried")
		return
	}
	if len(connectors) > connectorsMost {
		c.warn("connector", "", "only the first %d of %d connectors are looked at", connectorsMost, len(connectors))
		connectors = connectors[:connectorsMost]
	}
	c.askFor(ctx, connectors)
}

func (c *checkup) reach(ctx context.Context) bool {
	version, err := c.client.Reach(ctx)
	if err != nil {
		c.unreachable("reachable", err)
		return false
	}
	if version == "" {
		version = "without TLS, which is for this machine alone"
	}
	host, _ := migrate.Budget(c.client.Destination())
	c.ok("reachable", "%s answers, %s", host, version)
	return true
}

// unreachable tells an error of a request that got no answer.
func (c *checkup) unreachable(name string, err error) {
	var notSent *connect.NotSentError
	if errors.As(err, &notSent) && notSent.Permanent {
		c.fail(name, "correct destination.url or the environment's HTTPS_PROXY, or have the certificate's authority trusted on this machine", "%v", err)
		return
	}
	c.away(name, "see destination.url, the network, and whether a proxy (HTTPS_PROXY) is needed; else try later", "%v", err)
}

// hasCredential reports whether there is a credential to try.
func (c *checkup) hasCredential() bool {
	ok := true
	for _, p := range c.problems {
		if p.Key == keyCredential {
			text, remedy := splitRemedy(p.String())
			c.fail("credential", remedy, "%s", text)
			ok = false
		}
	}
	return ok && !c.cfg.Credential().Empty()
}

// named returns the connectors that rows go to: those of the configuration, else
// those of the sample.
func (c *checkup) named() []string {
	d := &c.cfg.Destination
	if d.Connector != "" {
		return []string{d.Connector}
	}
	var names []string
	for _, name := range d.Connectors {
		if name != "" && name != skipConnector && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range c.connectors {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// team tells whose connectors are meant.
func (c *checkup) team(connectors []string) {
	d := &c.cfg.Destination
	byUID := slices.ContainsFunc(connectors, func(name string) bool { return !strings.HasPrefix(name, "scl_") })
	switch {
	case d.TeamID != "":
		c.ok("team", "team_id %s", d.TeamID)
	case d.Slug != "":
		c.ok("team", "slug %s", d.Slug)
	case byUID:
		c.warn("team", "set destination.team_id, or name the connector by its id (scl_...)",
			"a connector is named by its uid, and neither team_id nor slug says whose; the credential's default team decides")
	default:
		c.ok("team", "no team is given, and none is needed: connectors are named by their ids")
	}
}

// askFor reads the connectors, one request each, until the credential is refused
// or no answer comes.
func (c *checkup) askFor(ctx context.Context, connectors []string) {
	accepted, forbidden := false, false
	for _, name := range connectors {
		known, err := c.client.Connector(ctx, name)
		var said *connect.StatusError
		switch {
		case err == nil:
		case !errors.As(err, &said):
			c.noAnswer(name, err)
			return
		case said.Status == http.StatusUnauthorized:
			c.fail("credential", "give a credential that is valid, and of the team, in destination.token", "%v", said)
			return
		}
		if !accepted && (err == nil || said.Status == http.StatusNotFound || said.Status == http.StatusGone) {
			accepted = true
			c.ok("credential", "the endpoint accepts the credential")
		}
		if err == nil {
			c.ok("connector", "connector %s is known%s", name, described(known, name))
			continue
		}
		forbidden = forbidden || said.Status == http.StatusForbidden
		c.refused(name, said)
	}
	if forbidden && !accepted {
		// Some endpoints say 403 of a credential that is no longer valid, too.
		c.warn("credential", "see that the credential is valid and of the team, then try `tokenmigrate run --limit 1`", "it cannot be told whether the endpoint accepts the credential: it answers 403")
	}
}

// described tells what else a connector is called.
func described(k connect.Connector, name string) string {
	var parts []string
	for _, other := range []string{k.UID, k.ID, k.Name} {
		if other != "" && other != name && !slices.Contains(parts, other) {
			parts = append(parts, other)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func (c *checkup) noAnswer(name string, err error) {
	var lost *connect.LostError
	if errors.As(err, &lost) && strings.Contains(lost.What, "no JSON object") {
		c.fail("connector", "see whether destination.url is the API's, https://api.vercel.com", "%s: what answers is not the API: %v", name, err)
		return
	}
	c.unreachable("connector", err)
}

// refused tells what a status other than 2xx and 401 means. Reading a connector
// may need another privilege than importing into it.
func (c *checkup) refused(name string, said *connect.StatusError) {
	const maybe = "this may be no hindrance, since reading a connector may need another privilege than importing; "
	switch s := said.Status; {
	case s == http.StatusForbidden:
		c.warn("connector", maybe+"see that the credential's account may use the connector, then try `tokenmigrate run --limit 1`", "%s: the credential may not read it: %v", name, said)
	case s == http.StatusNotFound:
		c.warn("connector", maybe+"see the connector's name and team, then try `tokenmigrate run --limit 1`", "%s is not found: %v", name, said)
	case s == http.StatusGone:
		c.fail("connector", "name another connector in destination", "%s is gone: %v", name, said)
	case s == http.StatusBadRequest || s >= 300 && s < 400:
		c.fail("connector", "see destination.url, team_id or slug, and the connector's name", "%s: %v", name, said)
	case s == http.StatusTooManyRequests:
		c.warn("connector", "check again later", "%s could not be looked at: %v", name, said)
	case s >= 500 || s == http.StatusRequestTimeout:
		c.away("connector", "try again later", "%s could not be looked at: %v", name, said)
	default:
		c.warn("connector", fmt.Sprintf("%sthen try `tokenmigrate run --limit 1`", maybe), "%s: %v", name, said)
	}
}
