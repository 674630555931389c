#!/bin/sh
# Known answers of pgcrypto, made by the Postgres that psql's variables lead to:
#
#	PGHOST=... PGDATABASE=... sh make-pgcrypto.sh > pgcrypto.json
#
# 64 KiB of a token are written "<64 KiB>", as answers.mjs says. A server that runs
# on OpenSSL 3 without its legacy provider has no Blowfish and no CAST5: pgcrypto
# does not notice, and writes the text in the clear. Such answers are keyless.
exec psql -XqAt -v ON_ERROR_STOP=1 <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgcrypto;
CREATE TEMP TABLE c (n serial, name text, keys jsonb, plaintext text, data text, data_hex text, unauthenticated boolean, keyless boolean);

INSERT INTO c (name, keys, plaintext, data_hex, unauthenticated)
SELECT options, '["pass-Zt41x é"]', 'ya29.pgcrypto-é✓', encode(pgp_sym_encrypt('ya29.pgcrypto-é✓', 'pass-Zt41x é', options), 'hex'), nullif(options LIKE '%disable-mdc=1%', false)
FROM unnest(ARRAY['', 'cipher-algo=bf', 'cipher-algo=aes128', 'cipher-algo=aes192', 'cipher-algo=aes256', 'cipher-algo=3des', 'cipher-algo=cast5',
  'compress-algo=1', 'compress-algo=2, compress-level=9', 's2k-mode=0', 's2k-mode=1', 's2k-mode=3, s2k-count=1024', 's2k-digest-algo=md5', 's2k-digest-algo=sha1', 's2k-digest-algo=sha256',
  's2k-digest-algo=md5, cipher-algo=aes256', 's2k-digest-algo=sha1, s2k-mode=0, cipher-algo=aes256', 'sess-key=1', 'sess-key=1, s2k-cipher-algo=3des, cipher-algo=aes256', 'sess-key=1, cipher-algo=aes256, s2k-cipher-algo=bf, compress-algo=1',
  'unicode-mode=1', 'convert-crlf=1', 'disable-mdc=1', 'disable-mdc=1, cipher-algo=bf', 'disable-mdc=1, cipher-algo=3des, compress-algo=1', 'disable-mdc=1, sess-key=1, cipher-algo=aes256']) AS options;
UPDATE c SET name = 'defaults' WHERE name = '';

INSERT INTO c (name, keys, plaintext, data_hex) VALUES
  ('bytea', '["pass-Zt41x"]', 'ya29.bytea', encode(pgp_sym_encrypt_bytea('ya29.bytea', 'pass-Zt41x'), 'hex')),
  ('an older passphrase', '["newer-Lq83", "older-Xw20"]', 'ya29.older', encode(pgp_sym_encrypt('ya29.older', 'older-Xw20'), 'hex')),
  ('empty', '["pass-Zt41x"]', '', encode(pgp_sym_encrypt('', 'pass-Zt41x'), 'hex'));
INSERT INTO c (name, keys, plaintext, data)
SELECT name, '["pass-Zt41x"]', 'ya29.' || name, CASE name
  WHEN 'armor' THEN armor(m) WHEN 'armor with headers' THEN armor(m, ARRAY['Version', 'Comment'], ARRAY['1', 'pgcrypto']) WHEN 'hex' THEN encode(m, 'hex')
  WHEN 'base64' THEN encode(m, 'base64') WHEN 'bytea as text' THEN m::text END
FROM (SELECT name, pgp_sym_encrypt('ya29.' || name, 'pass-Zt41x', options) AS m FROM (VALUES ('armor', 'cipher-algo=aes256'), ('armor with headers', ''), ('hex', ''), ('base64', ''), ('bytea as text', '')) AS v (name, options)) AS s;
INSERT INTO c (name, keys, plaintext, data) VALUES ('64 KiB', '["pass-Zt41x"]', '<64 KiB>', armor(pgp_sym_encrypt(repeat('ya29.0123456789-', 4096), 'pass-Zt41x')));

CREATE FUNCTION pg_temp.keyless(m bytea) RETURNS boolean LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pgp_sym_decrypt_bytea(m, 'none of them'); RETURN true; EXCEPTION WHEN OTHERS THEN RETURN NULL; END $$;
UPDATE c SET keyless = pg_temp.keyless(decode(data_hex, 'hex')) WHERE data_hex IS NOT NULL;

SELECT jsonb_pretty(jsonb_build_object('name', 'pgcrypto', 'made_by', 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1) || ', pgcrypto ' || extversion || ', by make-pgcrypto.sh',
  'cases', (SELECT jsonb_agg(jsonb_strip_nulls(to_jsonb(c) - 'n') ORDER BY n) FROM c))) FROM pg_extension WHERE extname = 'pgcrypto';
SQL
