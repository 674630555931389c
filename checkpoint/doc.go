// Package checkpoint keeps what is known of every token of a migration in
// Postgres tables, so that a run that ends anywhere is finished by the next.
//
// # Order of use
//
// Open connects. Migrate makes or upgrades the tables. CreateMigration finds or
// makes the migration's row. Acquire takes the lease of a shard, and the migration's
// number of shards with it where nobody is at work under another; StartRun writes the
// run's row, and from then on Record is the only writer: each call of it is one
// transaction. FinishRun ends the run, and tells the last of several shards.
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
