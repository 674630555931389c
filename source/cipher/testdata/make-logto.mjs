// Logto's server is no package: this follows its utils/secret-encryption.ts as of
// commit 1fbc55441fd2 with Node's crypto. logto-elsewhere.json has a value
// that its own code made.
import crypto from 'node:crypto';
import { answers, long } from './answers.mjs';

const kek = 'q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=';
const gcm = (key, plaintext) => {
  const iv = crypto.randomBytes(12);
  const c = crypto.createCipheriv('aes-256-gcm', key, iv);
  return { iv, ciphertext: Buffer.concat([c.update(plaintext), c.final()]), tag: c.getAuthTag() };
};
const pg = (bytes) => '\\x' + bytes.toString('hex');
const seal = (name, plaintext, keys = [kek]) => {
  const dek = crypto.randomBytes(32);
  const outer = gcm(Buffer.from(kek, 'base64'), dek);
  const inner = gcm(dek, Buffer.from(plaintext));
  return {
    name, keys, plaintext, data_hex: inner.ciphertext.toString('hex'),
    with: { encrypted_dek: pg(Buffer.concat([outer.iv, outer.ciphertext, outer.tag])), iv: pg(inner.iv), auth_tag: pg(inner.tag) },
  };
};
const set = (access_token) => JSON.stringify({ access_token, id_token: 'a.b.c', refresh_token: '1//logto-é✓' });
answers('logto', "Node's crypto following utils/secret-encryption.ts, by make-logto.mjs; not Logto's own build", [
  seal('token set', set('ya29.a0Logto')),
  seal('one of several keys', set('ya29.a0Logto2'), ['AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=', kek]),
  seal('64 KiB', set(long)),
]);
