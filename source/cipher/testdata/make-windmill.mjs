// magic-crypt is a Rust crate: this follows it with Node's crypto, after checking
// that it makes the crate's published example.
import crypto from 'node:crypto';
import { answers, long } from './answers.mjs';

const encrypt = (key, text) => {
  const c = crypto.createCipheriv('aes-256-cbc', crypto.createHash('sha256').update(key).digest(), Buffer.alloc(16));
  return Buffer.concat([c.update(text, 'utf8'), c.final()]).toString('base64');
};
if (encrypt('magickey', 'http://magiclen.org') !== 'DS/2U8royDnJDiNY2ps3f6ZoTbpZo8ZtUGYLGEjwLDQ=') throw new Error('not as magic-crypt');

const workspace_key = 'b8Vn2Zx7Qk4Ws9Er1Ty6Ui3Op0As5Df8Gh2Jk7Lz4Xc9Vb1Nm6Qw3Er0Ty5Ui8Op';
const salt = 'Salz-é-R4t9Y2u7';
const seal = (name, keys, salt, plaintext, more = {}) => ({
  name, keys, plaintext, data: encrypt(workspace_key + salt, plaintext), with: { workspace_key, is_secret: 'true' }, unauthenticated: true, ...more,
});
const open = { keyless: true }; // the row has all of the key
answers('windmill', "Node's crypto following the Rust crate magic-crypt, by make-windmill.mjs, and the crate's published example", [
  seal('with a salt', [salt], salt, 'ya29.a0Windmill-é✓'),
  seal('one of several salts', ['N3w-S4lt-91x', salt], salt, 'ya29.a0Windmill2'),
  seal('without a salt', [], '', 'ya29.a0Windmill3', open),
  seal('from before there was a salt', [salt], '', 'ya29.a0Windmill4', open),
  {
    name: 'published example', keys: [], plaintext: 'http://magiclen.org', data: 'DS/2U8royDnJDiNY2ps3f6ZoTbpZo8ZtUGYLGEjwLDQ=',
    with: { workspace_key: 'magickey' }, unauthenticated: true, ...open,
  },
  seal('64 KiB', [salt], salt, long),
]);
