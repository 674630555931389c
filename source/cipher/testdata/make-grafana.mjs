// Grafana's encryption is not published apart from its server: this follows
// pkg/services/encryption and pkg/services/secrets/manager as of commits
// 3af0110a1a21 and 004ff3d8b638 with Node's crypto.
import crypto from 'node:crypto';
import { answers, long } from './answers.mjs';

const b64 = (s) => Buffer.from(s).toString('base64').replace(/=+$/, '');
const inner = (secret, algorithm, prefix, plaintext) => {
  const salt = crypto.randomBytes(8);
  if (!prefix && (salt[0] === 0x2a || salt[0] === 0x23)) return inner(secret, algorithm, prefix, plaintext); // would read as * or #
  const key = crypto.pbkdf2Sync(secret, salt, 10000, 32, 'sha256');
  const iv = crypto.randomBytes(algorithm === 'aes-gcm' ? 12 : 16);
  const c = crypto.createCipheriv(algorithm === 'aes-gcm' ? 'aes-256-gcm' : 'aes-256-cfb', key, iv);
  const sealed = Buffer.concat([c.update(plaintext), c.final()]);
  return Buffer.concat([Buffer.from(prefix), salt, iv, sealed, algorithm === 'aes-gcm' ? c.getAuthTag() : Buffer.alloc(0)]);
};
const named = (algorithm) => `*${b64(algorithm)}*`;
const secret = 'pW6rJ1xQ8vT3';
const standard = 'SW2YcwTIb9zpOOhoPsMm';
const cfb = 'aes-cfb', gcm = 'aes-gcm';
const dataKey = (id, wrapped, secret_key = secret) => {
  const raw = crypto.randomBytes(16);
  return { raw, row: { id, provider: 'secretKey.v1', data: inner(secret_key, wrapped, named(wrapped), raw).toString('hex') } };
};
const [a, b, c] = [dataKey('ddk3kq1v9a8xsd', cfb), dataKey('b7b4d8c2-öü', gcm), dataKey('feaXyz01', cfb, standard)];
const rows = [a.row, b.row, c.row];
const envelope = (name, key, algorithm, plaintext, secret_keys = [secret]) => ({
  name, keys: { secret_keys, data_keys: rows }, plaintext, names_key: true, unauthenticated: algorithm === cfb,
  data: Buffer.concat([Buffer.from(`#${b64(key.row.id)}#`), inner(key.raw, algorithm, named(algorithm), plaintext)]).toString('base64'),
});
const legacy = (name, algorithm, prefix, plaintext, secret_keys = [secret]) => ({
  name, keys: { secret_keys, data_keys: [] }, plaintext, unauthenticated: algorithm === cfb,
  data: inner(secret_keys.at(-1), algorithm, prefix, plaintext).toString('base64'),
});
answers('grafana', "Node's crypto following Grafana's pkg/services/encryption and secrets, by make-grafana.mjs; not Grafana's own build", [
  envelope('envelope, CFB', a, cfb, 'ya29.a0Grafana-é✓-0001'),
  envelope('envelope, GCM', a, gcm, 'ya29.a0Grafana-0002'),
  envelope('envelope, GCM, data key wrapped with GCM', b, gcm, 'ya29.a0Grafana-0003'),
  envelope('envelope, CFB, data key wrapped with GCM', b, cfb, 'ya29.a0Grafana-0004'),
  envelope('envelope, the secret_key that Grafana comes with', c, cfb, 'ya29.a0Grafana-0005', [standard]),
  envelope('envelope, data key wrapped before secret_key changed', c, gcm, 'ya29.a0Grafana-0006', [secret, standard]),
  legacy('legacy, no algorithm', cfb, '', 'ya29.a0Grafana-0007'),
  legacy('legacy, empty algorithm', cfb, '**', 'ya29.a0Grafana-0008'),
  legacy('legacy, CFB', cfb, named(cfb), 'ya29.a0Grafana-0009'),
  legacy('legacy, GCM', gcm, named(gcm), 'ya29.a0Grafana-0010'),
  legacy('legacy, one of several keys', cfb, '', 'ya29.a0Grafana-0011', [standard, secret]),
  envelope('64 KiB', a, cfb, long),
]);
