#!/bin/sh
# Known answers of pgcrypto's encrypt and encrypt_iv; see make-pgcrypto.sh. It needs
# a server whose OpenSSL has Blowfish.
exec psql -XqAt -v ON_ERROR_STOP=1 <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgcrypto;
CREATE TEMP TABLE c (n serial, name text, keys jsonb, plaintext text, data text, data_hex text, "with" jsonb);
CREATE FUNCTION pg_temp.made(type text, iv bytea, plaintext text, key bytea) RETURNS text LANGUAGE SQL AS
  $$ SELECT encode(CASE WHEN iv IS NULL THEN encrypt(convert_to(plaintext, 'UTF8'), key, type) ELSE encrypt_iv(convert_to(plaintext, 'UTF8'), key, iv, type) END, 'hex') $$;

INSERT INTO c (name, keys, plaintext, data_hex, "with")
SELECT concat_ws(', ', type, 'a key of ' || length(key) || ' bytes', 'an iv of ' || length(iv)), jsonb_build_object('options', jsonb_build_object('Type', type), 'keys', jsonb_build_array(key)),
  plaintext, pg_temp.made(type, convert_to(iv, 'UTF8'), plaintext, convert_to(key, 'UTF8')), jsonb_build_object('iv', '\x' || encode(convert_to(iv, 'UTF8'), 'hex'))
FROM (VALUES ('aes', 'raw-key-of-16-by', NULL), ('aes', 'raw-key-short', NULL), ('aes', 'raw-key-of-24-bytes-1234', NULL), ('aes', 'raw-key-of-20-bytes-', NULL), ('aes', 'raw-key-of-32-bytes-123456789012', NULL), ('aes', 'raw-key-of-36-bytes-1234567890123456', NULL),
  ('aes-cbc', 'raw-key-of-16-by', NULL), ('aes-cbc/pad:pkcs', 'raw-key-of-16-by', NULL), ('aes-ecb', 'raw-key-of-32-bytes-123456789012', NULL), ('aes-cbc/pad:none', 'raw-key-of-16-by', NULL),
  ('aes', 'raw-key-of-16-by', 'an-iv-of-16-byte'), ('aes-cbc/pad:pkcs', 'raw-key-of-32-bytes-123456789012', 'an-iv-of-16-byte'), ('aes', 'raw-key-of-16-by', 'an-iv-short'),
  ('bf', 'raw-key-of-16-by', NULL), ('bf', 'raw-key', NULL), ('bf-cbc', 'raw-key-of-56-bytes-123456789012345678901234567890123456', NULL), ('bf', 'raw-key-of-16-by', 'iv-8-byt'), ('bf-ecb', 'raw-key-of-16-by', NULL)) AS v (type, key, iv),
  LATERAL (SELECT CASE WHEN type LIKE '%none' THEN 'ya29.of-32-bytes-without-padding' ELSE 'ya29.raw-é✓-' || type END AS plaintext) AS p;
INSERT INTO c (name, keys, plaintext, data, "with")
SELECT name, '{"options": {}, "keys": ["raw-key-of-16-by"]}', 'ya29.' || name, CASE name WHEN 'base64' THEN encode(m, 'base64') WHEN 'hex' THEN encode(m, 'hex') ELSE m::text END, NULL
FROM (SELECT name, encrypt(('ya29.' || name)::bytea, 'raw-key-of-16-by', 'aes') AS m FROM unnest(ARRAY['base64', 'hex', 'bytea as text']) AS name) AS s;
INSERT INTO c (name, keys, plaintext, data_hex) VALUES
  ('a key in hexadecimal', '{"options": {}, "keys": ["\\x000102030405060708090a0b0c0d0e0f"]}', 'ya29.hex-key', encode(encrypt('ya29.hex-key', '\x000102030405060708090a0b0c0d0e0f', 'aes'), 'hex')),
  ('an older key', '{"options": {}, "keys": ["newer-key-16-byt", "older-key-16-byt"]}', 'ya29.older-key', encode(encrypt('ya29.older-key', 'older-key-16-byt', 'aes'), 'hex')),
  ('an iv in base64', '{"options": {}, "keys": ["raw-key-of-16-by"]}', 'ya29.iv-base64', encode(encrypt_iv('ya29.iv-base64', 'raw-key-of-16-by', 'an-iv-of-16-byte', 'aes'), 'hex'));
UPDATE c SET "with" = jsonb_build_object('iv', encode('an-iv-of-16-byte', 'base64')) WHERE name = 'an iv in base64';
INSERT INTO c (name, keys, plaintext, data) VALUES
  ('64 KiB', '{"options": {}, "keys": ["raw-key-of-16-by"]}', '<64 KiB>', encode(encrypt(repeat('ya29.0123456789-', 4096)::bytea, 'raw-key-of-16-by', 'aes'), 'base64'));

SELECT jsonb_pretty(jsonb_build_object('name', 'pgcrypto-raw', 'made_by', 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1) || ', pgcrypto ' || extversion || ', by make-pgcrypto-raw.sh',
  'cases', (SELECT jsonb_agg(jsonb_strip_nulls(to_jsonb(c) - 'n') || '{"unauthenticated": true}' ORDER BY n) FROM c))) FROM pg_extension WHERE extname = 'pgcrypto';
SQL
