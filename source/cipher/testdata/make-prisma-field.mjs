// npm install @47ng/cloak@1.2.0 && node make-prisma-field.mjs > prisma-field.json
import cloak from '@47ng/cloak';
import { answers, long } from './answers.mjs';

const key = (n) => 'k1.aesgcm256.' + Buffer.from(Uint8Array.from({ length: 32 }, (_, i) => (i * 11 + n) % 256)).toString('base64url') + '=';
const [now, before, bare] = [key(3), key(77), key(140).replace(/=$/, '')];
const add = (name, keys, by, plaintext) => ({ name, keys, plaintext, data: cloak.encryptStringSync(plaintext, by), names_key: true });

answers('prisma-field', 'npm @47ng/cloak@1.2.0, encryptStringSync, which prisma-field-encryption@1.6.0 calls, by make-prisma-field.mjs', [
  add('one key', [now], now, 'ya29.prisma'),
  add('unicode', [now], now, '1//0g-é✓-トークン'),
  add('an older key', [now, `${bare},${before}`], before, 'ya29.prisma-old'),
  add('a key without padding', [now, bare], bare, 'ya29.prisma-bare'),
  add('a key that lost its padding', [before.replace(/=$/, '')], before, 'ya29.prisma-lost'),
  add('64 KiB', [now], now, long),
]);
