// Package source reads the rows of a team's own database, page by page, and maps
// each to an element of the import call (connect.Token).
//
// Open connects, looks at the query's columns and refuses what cannot be read
// rightly, all problems at once. Then Check, at the start of each walk, and Page
// until Page.End is the walk itself; Rows reads single rows again by their keys.
//
// # What a walk promises
//
// Every row that exists from the beginning to the end of a walk, and keeps its
// key, is handed out exactly once. A row inserted, deleted or changed meanwhile
// may be seen or missed; it harms no other row, and the next walk finds it.
// What would make rows vanish or repeat in silence is an error instead, a
// *ConfigError that names it: NULL keys, repeated keys (also across a page's
// edge), policies that hide rows, and keys under a nondeterministic collation.
//
// # How it reads
//
// A page is one short read-only transaction, and starts after the last key of
// the page before by row comparison, so that an index over the key columns
// serves it; no snapshot and no cursor outlives a page. Nothing is kept in the
// session: no named prepared statements, settings by SET LOCAL only, one startup
// parameter (application_name). So it works through PgBouncer in transaction
// mode, and on a hot standby, whose cancelled reads are repeated.
//
// Settings of the role or database that change how values look (DateStyle,
// TimeZone, client_encoding) are overridden: times without a zone are UTC.
//
// # Columns
//
// The query's output columns are found by name; others are refused.
//
//	key, key_2                    required / where the key is composite: smallint, integer,
//	                              bigint, uuid or text; together unique and never NULL
//	provider                      text: chooses the connector from Routes.ByProvider
//	connector                     text: the connector itself; beats both Routes
//	access_token                  required: text, or bytea
//	refresh_token                 text, or bytea
//	expires_at                    timestamptz, timestamp (UTC), ISO text, or a number or numeric
//	refresh_token_expires_at      text: seconds below 1e11, milliseconds from there on
//	subject_type                  text: user (also where NULL or empty) or app
//	subject_id                    text, integer or uuid; required unless there is a subject_type
//	subject_issuer                text
//	environment                   text: development, preview, production or env_...
//	scopes, audience, resources   array of text, JSON array, or text split at spaces and commas
//	authorization_details, data   json or jsonb: an array of objects with a type; an object
//	installation, tenant          json or jsonb object with an id, or the id: text, integer, uuid
//	installation_id               text, integer or uuid
//	external_subject              text, integer or uuid
//	name                          text
//
// Text is any type of the string category (text, varchar, char, citext, name),
// a domain over one, or an enum.
//
// A store's preset (package stores) may have more: skip, text or NULL, one of
// Options.Skips for a row to leave out; and what its Opener reads, see there.
// Credentials that an Opener finds go before the query's own.
//
// # Encrypted stores
//
// Rows that need an Opener are opened on all processors, while the next ones are
// read. CheckKeys finds wrong keys before anything is sent; after that a value
// that does not open concerns its row alone, decrypt_failed.
//
// # Secrets
//
// Access and refresh tokens and the data column leave this package as
// connect.Secret only. No error, detail or log line holds a value of
// access_token, refresh_token, data or authorization_details. Keys are printed.
package source
