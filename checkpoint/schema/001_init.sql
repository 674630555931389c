-- The checkpoint of tokenmigrate: what is known of every token so far.
-- Readable by anybody with SELECT; written only by the program. It holds no
-- credential: fingerprints and identities are keyed hashes.

CREATE TABLE {schema}.schema_version (
    version integer NOT NULL
);
INSERT INTO {schema}.schema_version VALUES (1);

-- One row a migration, made by its first run.
CREATE TABLE {schema}.migrations (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text        NOT NULL UNIQUE,
    fingerprint_key bytea       NOT NULL, -- random, of this migration alone: without it the hashes below tell nothing
    target          jsonb       NOT NULL, -- what the migration is between, without secrets; a run with another one is refused
    shards          integer     NOT NULL DEFAULT 1,
    chunk_ceiling   integer,              -- tokens a call, proven by a 413; NULL: none met
    paused          boolean     NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL DEFAULT now()
);

-- One row a token whose outcome is known: sent, or left out for a reason.
-- Rows that were read and not sent yet have none.
CREATE TABLE {schema}.tokens (
    migration_id         bigint      NOT NULL,
    key                  text COLLATE "C" NOT NULL,
    connector            text,
    environment          text,
    outcome              text        NOT NULL CHECK (outcome IN ('imported', 'failed', 'invalid', 'skipped', 'unknown')),
    succeeded            boolean,     -- the endpoint's own last answer; NULL: it gave none
    reason               text,
    detail               text,
    attempts             integer     NOT NULL DEFAULT 0, -- calls that carried it
    fingerprint          bytea,       -- of what was sent last
    identity             bytea,       -- of whom it was sent for
    imported_fingerprint bytea,       -- of what was imported last; never cleared
    imported_at          timestamptz, -- never cleared
    run_id               bigint,
    call_id              uuid,        -- the call whose answer this row tells
    updated_at           timestamptz NOT NULL,
    PRIMARY KEY (migration_id, key)
);
-- An identity is a keyed hash already, and only ever looked for as a whole: a hash
-- index is two thirds of the work of a B-tree.
CREATE INDEX tokens_identity ON {schema}.tokens USING hash (identity) WHERE identity IS NOT NULL;

-- The intents: one row a call that is about to be made, or was made and whose
-- answer is not recorded. Removing it is the right to record the answer.
CREATE TABLE {schema}.calls (
    id           uuid        PRIMARY KEY,
    migration_id bigint      NOT NULL,
    shard        integer     NOT NULL,
    run_id       bigint      NOT NULL,
    connector    text        NOT NULL,
    environments text[]      NOT NULL, -- of the keys, in their order; where all are for one, that one alone
    keys         text[]      NOT NULL,
    fingerprints bytea[]     NOT NULL,
    identities   bytea[]     NOT NULL,
    started_at   timestamptz NOT NULL,
    settle_after timestamptz NOT NULL  -- before this, its call may still be under way
) WITH (toast_tuple_target = 8160);
-- A row lives for a second: it is not worth compressing, nor moving out of line.
ALTER TABLE {schema}.calls ALTER COLUMN keys SET STORAGE EXTERNAL,
    ALTER COLUMN fingerprints SET STORAGE EXTERNAL, ALTER COLUMN identities SET STORAGE EXTERNAL;
CREATE INDEX calls_shard ON {schema}.calls (migration_id, shard);

-- One row a run of one shard.
CREATE TABLE {schema}.runs (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    migration_id bigint      NOT NULL,
    shard        integer     NOT NULL,
    version      text        NOT NULL,
    mode         text        NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    exit_code    integer,
    counts       jsonb       NOT NULL DEFAULT '{}', -- grows in the transactions that change it
    waiting      text,
    last_error   text
);
CREATE INDEX runs_migration ON {schema}.runs (migration_id, id);

-- The right to work on a shard. A lease that has expired may be taken by
-- anybody, with the next epoch.
CREATE TABLE {schema}.leases (
    migration_id bigint      NOT NULL,
    shard        integer     NOT NULL,
    shards       integer     NOT NULL,
    holder       text        NOT NULL,
    epoch        bigint      NOT NULL,
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (migration_id, shard)
);

-- The budget of calls that all workers of one destination and team share.
CREATE TABLE {schema}.paces (
    destination         text        NOT NULL,
    team                text        NOT NULL,
    requests_per_minute double precision,
    next_at             timestamptz,
    paused_until        timestamptz,
    reason              text,
    PRIMARY KEY (destination, team)
);
