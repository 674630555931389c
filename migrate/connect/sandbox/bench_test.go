package sandbox

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkServer_Import times calls of 100 realistic tokens of which none was
// seen before, client and network included.
func BenchmarkServer_Import(b *testing.B) {
	for name, level := range map[string]AuditLevel{"off": AuditOff, "hashes": AuditHashes, "full": AuditFull} {
		b.Run("audit "+name, func(b *testing.B) {
			s := New(Options{Audit: level})
			defer s.Close()
			url, err := s.Start("")
			if err != nil {
				b.Fatal(err)
			}
			tokens := make([]string, 100)
			for i := range tokens {
				tokens[i] = fmt.Sprintf(`{"accessToken":"xoxe.xoxp-1-%[1]s","expiresAt":1900000000000,"refreshToken":"xoxe-1-%[1]s",`+
					`"subject":{"type":"user","id":"@-%[2]d","issuer":"https://accounts.example.com"},"environment":"production",`+
					`"scopes":["channels:read","chat:write","users:read"],"externalSubject":"U%[2]d","tenant":{"id":"T012345"}}`,
					strings.Repeat("Ab3", 40), i)
			}
			all := body(tokens...)
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			b.SetBytes(int64(len(all)))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				req, _ := http.NewRequest("POST", url+slackPath, strings.NewReader(strings.ReplaceAll(all, `"id":"@`, fmt.Sprintf(`"id":"%d`, n))))
				req.Header.Set("Authorization", "Bearer x")
				req.Header.Set("Content-Type", "application/json")
				res, err := client.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
