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
// # What it needs
//
// Everything works through PgBouncer in transaction mode: no session state, no
// prepared statements by name. The tables may share a database with the source.
// No table holds a credential.
package checkpoint
