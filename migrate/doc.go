// Package migrate is the migration itself: it takes rows from a source, sends
// them to the import endpoint in chunks, and records in a checkpoint how each
// ended. Make a Migrator with New; Run migrates, DryRun foresees what Run would
// do and changes nothing.
//
// # One direction
//
// One goroutine reads pages and judges their rows: settled already, left out for
// a reason, or to be sent. What is to be sent joins its connector's one open
// chunk. Full chunks go through an unbuffered channel to a fixed number of
// senders; one recorder writes for all of them. Nothing grows with the number
// of rows. Where pages go through quickly the next one is read meanwhile, and no
// sender waits for its last outcomes to be recorded before it writes its next intent:
// both are one transaction then.
//
// # One call
//
// A permit of the pace, the rows read again if they are old, the intent
// committed, the call, and then one transaction with the outcomes, the counts
// and the removal of the intent. judgeAnswer, in verdict.go, is the one place
// that decides what an answer means; rule, in judge.go, the one that decides
// what becomes of a row.
//
// # What happens once, and what may happen twice
//
// A token with a positive answer on record is not sent again unless it changed, or
// another row was sent for its identity since. As long as a token is on its way, to be
// sent again included, no other row is sent for its identity.
// A call whose answer never came is in doubt: its tokens were written down
// before it was made, they are unknown until the policy settles them, and
// sending them again may import them twice. Import is at least once; no client
// can make it more without the endpoint's help.
//
// # Shards
//
// Options.Shard of Shards names the part of the keys that the source was opened
// for: one worker each, all at one pace. A row that another shard has sent, or is
// about to send, for the same subject is found by asking the checkpoint, once more
// as the intent is written. The last shard to finish judges the whole migration.
//
// # What is looked up
//
// What the checkpoint knows of a row decides what becomes of it, and so each row's
// key is looked up, and its identity unless the row is settled. The first run of a
// migration looks up less: no key in its first walk, since nothing is recorded, and
// of the identities only those that a filter of fixed size cannot rule out.
//
// # Stopping
//
// The end of Run's first context drains: nothing more is read, calls in flight
// finish and are recorded. The next run goes on from the checkpoint; nothing
// else is remembered, so chunk size, page size and concurrency may change. A run in
// which nothing moves, though it waits for nothing, is ended with ErrStalled.
//
// # Secrets
//
// Access and refresh tokens pass through in connect.Secret and leave only in the
// body of the import call. What is logged and recorded are keys, connectors,
// reasons and scrubbed words of the endpoint.
package migrate
