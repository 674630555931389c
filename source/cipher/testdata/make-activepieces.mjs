// Activepieces' server is no package: this follows its helper/encryption.ts with
// Node's crypto, CBC as of commit 03c3239ede00, GCM as of 5f0090a9d23f.
import crypto from 'node:crypto';
import { answers, long } from './answers.mjs';

const key = '7d4e1f0a9b8c6d5e4f3a2b1c0d9e8f7a';
const accented = 'clé-privée-de-32-caractères-ÿ-AB';
const seal = (name, secret, gcm, plaintext, more = {}) => {
  const iv = crypto.randomBytes(gcm ? 12 : 16);
  const c = crypto.createCipheriv(gcm ? 'aes-256-gcm' : 'aes-256-cbc', Buffer.from(secret, 'binary'), iv);
  const data = Buffer.concat([c.update(plaintext, 'utf8'), c.final()]).toString('hex');
  const value = gcm ? { iv: iv.toString('hex'), data, authTag: c.getAuthTag().toString('hex') } : { iv: iv.toString('hex'), data };
  return { name, keys: [secret], plaintext, data: JSON.stringify(value), unauthenticated: !gcm, ...more };
};
const oauth2 = (access_token) => JSON.stringify({
  type: 'OAUTH2', access_token, refresh_token: '1//ap-réfresh ✓', expires_in: 3599, claimed_at: 1771000000, scope: 'openid',
});
answers('activepieces', "Node's crypto following helper/encryption.ts, by make-activepieces.mjs; not Activepieces' own build", [
  seal('GCM', key, true, oauth2('ya29.a0Ap1')),
  seal('CBC', key, false, oauth2('ya29.a0Ap2')),
  seal('GCM, key that is not ASCII', accented, true, oauth2('ya29.a0Ap3')),
  seal('CBC, key that is not ASCII', accented, false, oauth2('ya29.a0Ap4')),
  seal('CBC, one of several keys', key, false, oauth2('ya29.a0Ap5'), { keys: [accented, key] }),
  seal('CBC, 64 KiB', key, false, oauth2(long)),
]);
