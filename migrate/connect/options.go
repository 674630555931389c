package connect

import (
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// DefaultTimeout is the Timeout of Options that name none.
const DefaultTimeout = 60 * time.Second

// Options say where and as whom a Client calls.
type Options struct {
	// URL is the endpoint's origin, such as https://api.vercel.com: https, or
	// http to a loopback address (127.0.0.0/8, ::1, localhost); without user,
	// query, fragment or path. No error quotes it.
	URL string

	// Credential returns the API credential. It is asked before each call, from
	// the calling goroutine, so that a rotated one is picked up at once; it must
	// be safe for concurrent use where Import is called concurrently.
	Credential func() Secret

	// TeamID or Slug says which team's connector is meant; at most one. Without
	// either the endpoint takes the credential's team.
	TeamID string
	Slug   string

	// Timeout bounds one call, from dialling to the last byte of the answer; 0
	// means DefaultTimeout.
	Timeout time.Duration

	// UserAgent names the program and its version, such as tokenmigrate/1.2.3;
	// "" means tokenmigrate.
	UserAgent string

	// RootCAs are the authorities that may vouch for the endpoint's certificate;
	// nil means the system's.
	RootCAs *x509.CertPool
}

// parseOrigin reads Options.URL. The text may come from a secret store and is
// never quoted.
func parseOrigin(text string) (url.URL, error) {
	if text == "" {
		return url.URL{}, errors.New("must be given")
	}
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.Hostname() == "" {
		return url.URL{}, errors.New("must be of the form https://host or https://host:port")
	}
	var problems []error
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		problems = append(problems, errors.New("must be https"))
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		problems = append(problems, errors.New("must be https: plain http is for loopback addresses only, since the call carries credentials"))
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			problems = append(problems, errors.New("must have a port from 1 to 65535, or none"))
		}
	}
	if u.User != nil {
		problems = append(problems, errors.New("must not hold a user or password"))
	}
	if u.Path != "" && u.Path != "/" {
		problems = append(problems, errors.New("must not have a path"))
	}
	if u.RawQuery != "" || u.ForceQuery {
		problems = append(problems, errors.New("must not have a query (the team is an option of its own)"))
	}
	if u.Fragment != "" || strings.Contains(text, "#") {
		problems = append(problems, errors.New("must not have a fragment"))
	}
	return url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}, errors.Join(problems...)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// visible reports whether the text holds visible ASCII characters only, and
// those in also.
func visible(text, also string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return (r <= ' ' || r > '~') && !strings.ContainsRune(also, r)
	})
}
