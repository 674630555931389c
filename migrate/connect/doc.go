// Package connect speaks to the import endpoint of Vercel Connect,
//
//	POST /v1/connect/token/{connector}/import
//
// and, but for looking whether that would work (Client.Reach, Client.Connector),
// to nothing else: [Token] is what the call carries, [Client] makes the call,
// [Answer] is what a 2xx says, and three error types say how a call ended without
// one. [Scrubber] keeps credentials out of what an answer says.
//
// # How a call can end
//
// Client.Import returns exactly one of:
//
//   - an Answer: a readable 2xx. What it says of each token is for the caller
//     to judge; nothing here calls a token imported.
//   - *NotSentError: no byte of the request was written. The call was certainly
//     not made and may be made again.
//   - *StatusError: the endpoint answered with another status, redirects
//     included, which are never followed.
//   - *LostError: the request may have arrived, and no readable answer came.
//     Whether the tokens were imported is not known.
//
// # What may be sent twice
//
// One Import makes at most one request that the endpoint may act on: a request
// is made again below this package only where the server cannot have acted on
// the first (see the comment in newTransport). Whether a lost call is repeated,
// and so the same token possibly imported twice, is decided by the caller, who
// has noted the intent before calling; this package repeats nothing and waits
// for nothing.
//
// # Which secrets pass through
//
// The API credential goes into the Authorization header, and the tokens, with
// their data, into the request body. They go nowhere else: not into a redirect,
// not over plain http (but to this very machine), not into an error. Whatever an
// error here says was scrubbed first, since an endpoint may echo what it was
// sent. What an Answer holds is the endpoint's text as it came, for matching;
// scrub it before printing it.
//
// One leak is beyond this package's reach: net/http writes what a server sends
// unasked over an idle connection to the standard library's default logger. The
// program must not let that logger print (log.SetOutput).
package connect
