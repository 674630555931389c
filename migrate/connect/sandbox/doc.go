// Package sandbox is a stand-in of the import endpoint,
// POST /v1/connect/token/{connector}/import, faithful to its documentation and
// able to misbehave.
//
// Honest, it is as strict as the reference page: documented properties of the
// documented types, a bearer, a connector that is one escaped path segment, and
// answers that name each token of the call in order. It counts import calls in
// fixed windows of a minute and answers 429 as documented. Where the
// documentation is silent it chooses one behaviour and says so in Options and
// Server: a call is imported whole, a token replaces the one of the same
// identity (Identity), and tokens that a connector refuses are answered
// succeeded: false while the rest of their call is imported.
//
// Misbehaving, it plays Faults: any status, lost answers of every cause, and
// answers that list their results wrongly. Everything random follows from
// Options.Seed and the order in which calls arrive.
//
// Either way its Audit tells what it really saw and imported, also where the
// answer to it was lost; that is what a migration's own record is compared
// with.
//
//	s := sandbox.New(sandbox.Options{Limit: 50})
//	url, err := s.Start("")
//	...
//	defer s.Close()
//	... // import to url
//	for id, im := range s.Imported() { ... }
//
// # Secrets
//
// The credentials of the calls are kept as SHA-256 only, or in clear with
// AuditFull, in memory. They leave it in no log and no audit page; the one
// exception is the fault EchoCredentials, whose purpose it is. It listens on
// loopback addresses alone.
package sandbox
