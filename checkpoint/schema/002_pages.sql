-- True: another key was sent for the same identity since this one was imported, so that
-- the endpoint may hold the other's token by now. Else NULL, which takes no room.
ALTER TABLE {schema}.tokens ADD COLUMN superseded boolean;

-- What walks found settled. A page of the source whose tokens were imported as they
-- are, all but a few, need not be looked up token by token again. It says nothing that
-- the tokens do not say, and may be deleted at any time: that costs time alone. Whoever
-- disables the triggers below must delete it.
CREATE TABLE {schema}.pages (
    migration_id bigint    NOT NULL,
    shard        integer   NOT NULL,
    number       integer   NOT NULL, -- in the shard's walk, from 1
    digest       bytea     NOT NULL, -- of the keys and fingerprints of its rows, in their order
    rest         integer[] NOT NULL, -- which of its rows were not settled, from 0
    run_id       bigint    NOT NULL, -- the newest run that imported one of the others
    revision     bigint    NOT NULL, -- the migration's, when that was so; with any other the row counts for nothing
    PRIMARY KEY (migration_id, shard, number)
);

-- Grows with each statement that changes or removes rows of a migration's tokens,
-- whoever makes it. New rows do not count: of these no page can have said anything.
CREATE TABLE {schema}.revisions (
    migration_id bigint PRIMARY KEY, -- without a row: revision 0
    revision     bigint NOT NULL
);

CREATE FUNCTION {schema}.tokens_changed() RETURNS trigger LANGUAGE plpgsql AS $tokenmigrate$
DECLARE
    changed text := 'SELECT DISTINCT migration_id FROM former';
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        changed := format('SELECT id FROM %I.migrations', TG_TABLE_SCHEMA);
    END IF;
    -- By its name of today: a schema may be renamed.
    EXECUTE format('INSERT INTO %1$I.revisions AS r SELECT id, 1 FROM (%2$s) AS c (id)
        ON CONFLICT (migration_id) DO UPDATE SET revision = r.revision + 1', TG_TABLE_SCHEMA, changed);
    RETURN NULL;
END
$tokenmigrate$;
CREATE TRIGGER tokens_updated AFTER UPDATE ON {schema}.tokens REFERENCING OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.tokens_changed();
CREATE TRIGGER tokens_deleted AFTER DELETE ON {schema}.tokens REFERENCING OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.tokens_changed();
CREATE TRIGGER tokens_truncated AFTER TRUNCATE ON {schema}.tokens
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.tokens_changed();

UPDATE {schema}.schema_version SET version = 2;
