// Package checkpoint keeps what is known of every token of a migration in
// Postgres tables, so that a run that ends anywhere is finished by the next.
//
// # Order of use
//
// Open connects. Migrate makes or upgrades the tables. CreateMigration finds or
// makes the migration's row, and Changed says what is different since. Acquire
// takes the lease of a shard, StartRun writes the run's row, and from then on
// Record is the only writer, but for Settle, which ends the calls that other runs
// left in doubt: each call of it is one transaction. FinishRun and Release end it.
//
// # Shards
//
// A migration's keys may be divided among several workers; which part is whose is
// the source's business. Here each shard has a lease and runs of its own, and the
// number of shards is the migration's: Acquire adopts another only when nobody is
// at work under the old one, whose calls in doubt become everybody's then. What
// must be true of all shards together takes turns on the migration's row: of two
// that send one identity (Intent.Exclusive) one writes its intent, and of those
// that finish one is the last.
//
// # What commits together
//
// A call's intent is committed before the call is made. Its outcomes, which take
// keys and hashes from the intent's own row, the run's counts and the removal of the
// intent are one transaction. The intent is the
// fence: outcomes are written only where the intent still stood. Recording is
// safe to repeat when the answer to a COMMIT was lost: the second time the
// intent is gone and tokens.call_id tells that the first took effect.
//
// # Whose the endpoint's token is
//
// The endpoint holds one token for an identity. With the intent to send another key's
// for it, the keys that were imported before are superseded: should one come back as it
// was, it counts as not imported.
//
// # What is remembered
//
// Nearly all that a run over a finished migration asks is whether page after page is
// still as it was imported. So a Page that was is remembered with a digest of its keys
// and fingerprints, under the migration's revision: PagePriors needs one look for all of
// it then. Triggers on the table of tokens raise the revision with each statement that
// changes or removes rows, also by hand, and whatever is remembered under an older one
// counts for nothing; without them no command goes on. The table of pages may be emptied
// at any time. It does not help where pages begin elsewhere each time: behind a new row,
// or where a slow cipher has them be as small as time allows.
//
// # What it needs
//
// Everything works through PgBouncer in transaction mode: no session state, no
// prepared statements by name. The tables may share a database with the source.
// No table holds a credential.
package checkpoint
