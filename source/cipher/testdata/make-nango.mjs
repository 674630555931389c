// Needs npm @nangohq/shared@0.49.0 unpacked here (npm pack, tar xzf): the class is
// in the folder of its bundled @nangohq/utils 0.49.0. See answers.mjs.
import { Encryption } from './package/node_modules/@nangohq/database/node_modules/@nangohq/utils/dist/encryption.js';
import { answers, long } from './answers.mjs';

const key = 'q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=';
const seal = (name, plaintext, more = {}) => {
  const [ciphertext, iv, tag] = new Encryption(key).encrypt(plaintext);
  return {
    name, keys: [key], plaintext, data: JSON.stringify({ encrypted_credentials: ciphertext }),
    with: { credentials_iv: iv, credentials_tag: tag }, ...more,
  };
};
const oauth2 = (access_token) => JSON.stringify({
  type: 'OAUTH2', access_token, refresh_token: '1//0gNango', expires_at: '2027-03-04T05:06:07.000Z',
  raw: { access_token, scope: 'openid email', team: 'Büro ✓ 日本' },
});
answers('nango', 'npm @nangohq/shared@0.49.0, class Encryption of its @nangohq/utils, by make-nango.mjs', [
  seal('OAUTH2', oauth2('ya29.a0Nango')),
  seal('one of several keys', oauth2('ya29.a0Nango2'), { keys: ['AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=', key.replace('=', '')] }),
  seal('APP', JSON.stringify({ type: 'APP', access_token: 'ghs_16C7e42F292c6912E7', expires_at: '2027-03-04T05:06:07.000Z', raw: {} })),
  seal('no credentials', '{}'),
  seal('64 KiB', JSON.stringify({ type: 'OAUTH2', access_token: long })),
]);
