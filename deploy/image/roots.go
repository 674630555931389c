package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// bundlePath is the first place where Go looks for the system's certificate
// authorities on Linux.
const bundlePath = "etc/ssl/certs/ca-certificates.crt"

// rootBundle returns Mozilla's certificate authorities as PEM. They come from a
// Go module rather than from the machine, so that go.sum pins them and every
// machine makes the same image. Authorities that Mozilla trusts under conditions
// only are left out: a file of certificates cannot say so.
func rootBundle() ([]byte, error) {
	var text bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		certificate, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return nil, fmt.Errorf("a certificate of the bundle: %w", err)
		}
		fmt.Fprintf(&text, "# %s\n", certificate.Subject)
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	return text.Bytes(), nil
}
