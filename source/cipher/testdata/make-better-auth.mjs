// Needs npm better-auth@1.7.25. See answers.mjs.
import { symmetricEncrypt } from 'better-auth/crypto';
import { answers, long } from './answers.mjs';

const secret = 'Xq7vT2mWc9LpR4sZ8yBn3KfH6jDgA1uE';
const newer = 'Schlüssel, Nr. 二番目 9f8e7d6c5b4a';
const versioned = (currentVersion, legacySecret) => ({
  keys: new Map([[2, 'hT5oP0xYw2QzV8rNk4MbG7cJ3sLd9aFe'], [1, secret]]), currentVersion, legacySecret,
});
const list = '2:hT5oP0xYw2QzV8rNk4MbG7cJ3sLd9aFe, 1:' + secret;

const sealed = async (name, keys, key, plaintext, more = {}) =>
  ({ name, keys, plaintext, data: await symmetricEncrypt({ key, data: plaintext }), ...more });

const cases = [
  await sealed('one secret', { secret }, secret, 'ya29.a0AfB_byC-one.x'),
  await sealed('one secret that is not ASCII', { secret: newer }, newer, '1//0gRefresh-é✓-トークン'),
  await sealed('versioned, current', { secret, secrets: list }, versioned(2, secret), 'ya29.a0Ad52N3-V2cur', { names_key: true }),
  await sealed('versioned, older', { secrets: list }, versioned(1), 'ya29.a0Ad52N3-V1old', { names_key: true }),
  await sealed('versioned, version 0', { secrets: '0:' + newer.replace(',', '') },
    { keys: new Map([[0, newer.replace(',', '')]]), currentVersion: 0 }, 'ya29.a0Ad52N3-V0', { names_key: true }),
  await sealed('no version, written before the secrets were versioned', { secret, secrets: '2:hT5oP0xYw2QzV8rNk4MbG7cJ3sLd9aFe' },
    secret, 'ya29.a0Ad52N3-Nov'),
  await sealed('no version, its secret kept as a version', { secrets: list }, secret, 'ya29.a0Ad52N3-Kept'),
  await sealed('empty token', { secret }, secret, ''),
  await sealed('64 KiB', { secret }, secret, long),
];
answers('better-auth', 'npm better-auth@1.7.25, symmetricEncrypt of better-auth/crypto, by make-better-auth.mjs', cases);
