// Needs npm n8n-core@2.41.1 and crypto-js@4.2.0. See answers.mjs.
import { createRequire } from 'node:module';
import { answers, long } from './answers.mjs';

const require = createRequire(import.meta.url);
const { Cipher } = require('n8n-core/dist/encryption/cipher.js');
const CryptoJS = require('crypto-js');

const instance = 'mT4vYq8Zr2Lx6Nc0Wb5Jd9Hs3Kf7Pg1A';
const accented = 'Größe-日本-mT4vYq8Zr2Lx6Nc0Wb5J';
const raw = ['6f1d2c3b4a5968778695a4b3c2d1e0ff00112233445566778899aabbccddeeff', 'c0ffee00112233445566778899aabbccddeeff0123456789abcdef0123456789'];

// n8n's own cipher, with the rows of deployment_key that it would read.
const cipher = (encryptionKey, active, legacy) => new Cipher({ encryptionKey }, {
  getActiveKey: async () => active, getKeyById: async () => active, getLegacyKey: async () => legacy,
});
const wrap = (key, encryptionKey = instance) => cipher(encryptionKey).encryptDEKWithInstanceKey(key);
const row = (id, algorithm, value) => ({ id, algorithm, value });

const token = (access_token) => JSON.stringify({
  clientId: 'cid', clientSecret: 'cs', grantType: 'authorizationCode', scope: 'https://mail.google.com/ openid',
  oauthTokenData: { access_token, refresh_token: '1//0g-réfresh-✓', scope: 'openid', token_type: 'Bearer', expires_in: 3599 },
});

const cases = [];
const add = async (name, encryption_key, data_keys, plaintext, seal, more = {}) =>
  cases.push({ name, keys: { encryption_key, data_keys }, plaintext, data: await seal(plaintext), ...more });
const classic = (key) => async (text) => cipher(key).encryptWithInstanceKey(text);
// keyed seals as n8n does while the given row is active; the row may then be stored
// in an older form, as stored.
const keyed = (active) => async (text) => {
  const sealed = await cipher(instance, { ...active, format: 'prefixed' }).encryptV2(text);
  if (await cipher(instance, active).decryptV2(sealed) !== text) throw new Error('n8n does not open its own value');
  return sealed;
};
const loose = { unauthenticated: true };
const gcm = row('gcmKey_2027-A', 'aes-256-gcm', wrap(raw[0]));
const second = row('0f8fad5b-d9cd-469f-a165-70867728950e', 'aes-256-gcm', wrap(raw[1]));
const cbc = row('cbcLegacyKey01', 'aes-256-cbc', wrap(instance));

await add('classic', instance, [], token('ya29.n8n-1'), classic(instance), loose);
await add('classic, key that is not ASCII', accented, [], token('ya29.n8n-2'), classic(accented), loose);
await add('classic of old CryptoJS, key that is not ASCII', accented, [], token('ya29.n8n-3'),
  async (text) => CryptoJS.AES.encrypt(text, accented).toString(), loose);
await add('classic, the instance key is wrapped in a row', instance, [gcm, cbc], token('ya29.n8n-4'), classic(instance), loose);
await add('classic, a row wraps the instance key of before', instance, [row('cbcLegacyKey02', 'aes-256-cbc', wrap(accented))],
  token('ya29.n8n-5'), classic(accented), loose);
await add('classic, 64 KiB', instance, [], token(long), classic(instance), loose);
await add('keyed GCM', instance, [second, cbc, gcm], token('ya29.n8n-6'), keyed(gcm), { names_key: true });
await add('keyed GCM, rotated', instance, [gcm, cbc, second], token('ya29.n8n-7'), keyed(second), { names_key: true });
await add('keyed GCM, the row holds the raw key', instance, [{ ...gcm, value: raw[0] }], token('ya29.n8n-8'), keyed(gcm), { names_key: true });
await add('keyed GCM, the row holds the key wrapped as classic', instance, [{ ...gcm, value: cipher(instance).encryptWithInstanceKey(raw[0]) }],
  token('ya29.n8n-9'), keyed(gcm), { names_key: true });
await add('keyed GCM, wrapped by a key that is not ASCII', accented, [{ ...gcm, value: wrap(raw[0], accented) }],
  token('ya29.n8n-10'), keyed(gcm), { names_key: true });
await add('keyed GCM, 64 KiB', instance, [gcm], token(long), keyed(gcm), { names_key: true });
await add('keyed CBC', instance, [gcm, cbc], token('ya29.n8n-11'), keyed(cbc), { names_key: true, ...loose });
await add('keyed CBC, the row holds the instance key in clear', instance, [{ ...cbc, value: instance }], token('ya29.n8n-12'), keyed(cbc), { names_key: true, ...loose });

answers('n8n', 'npm n8n-core@2.41.1, class Cipher (values, wrapped keys), and crypto-js@4.2.0 (one old value), by make-n8n.mjs', cases);
