// Twenty's server is no package: this follows its secret-encryption utilities as of
// commit 41d242555963 with Node's crypto.
import crypto from 'node:crypto';
import { answers, long } from './answers.mjs';

const [key, fallback] = ['hV3sK8dR1mX6wP0zQ5nB2cT7yL4jG9fA', 'Schlüssel-nR7kW2xM5vZ0qD8tB3'];
const workspace_id = '20202020-1c25-4d02-bf25-6aeccf7ea419';
const seal = (name, keys, key, workspace, plaintext) => {
  const derived = Buffer.from(crypto.hkdfSync('sha256', Buffer.from(key), Buffer.alloc(32), 'twenty:enc:v2:' + workspace, 32));
  const iv = crypto.randomBytes(12);
  const c = crypto.createCipheriv('aes-256-gcm', derived, iv);
  const payload = Buffer.concat([iv, c.update(plaintext, 'utf8'), c.final(), c.getAuthTag()]).toString('base64');
  const id = crypto.createHash('sha256').update(key).digest('hex').slice(0, 8);
  return {
    name, keys, plaintext, data: `enc:v2:${id}:${payload}`, names_key: true,
    with: workspace === 'instance' ? {} : { workspace_id: workspace },
  };
};
answers('twenty', "Node's crypto following Twenty's secret-encryption, by make-twenty.mjs; not Twenty's own build", [
  seal('key', [key], key, workspace_id, 'ya29.a0Twenty-é✓'),
  seal('fallback key', [key, fallback], fallback, workspace_id, 'ya29.a0Twenty2'),
  seal('the instance, not a workspace', [key], key, 'instance', 'ya29.a0Twenty3'),
  seal('64 KiB', [key], key, workspace_id, long),
]);
