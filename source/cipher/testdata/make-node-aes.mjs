// Shapes of applications' own code, on the modules that it uses: Node's crypto,
// tweetnacl and cryptr, which is such code as a package.
//
//	npm install cryptr@6.4.0 tweetnacl@1.0.3 && node make-node-aes.mjs > node-aes.json
import crypto from 'node:crypto';
import Cryptr from 'cryptr';
import nacl from 'tweetnacl';
import { answers, long } from './answers.mjs';

const bytes = (n, seed) => crypto.createHash('shake256', { outputLength: n }).update(seed).digest();
const cases = [];

/** seal is what such code does: random iv, one cipher, its tag. */
function seal(plaintext, key, { algorithm = 'aes-256-gcm', ivLength = 16, aad, salt } = {}) {
  const iv = crypto.randomBytes(ivLength);
  const aead = /gcm|poly1305/.test(algorithm);
  const cipher = crypto.createCipheriv(algorithm, key, iv, aead ? { authTagLength: 16 } : undefined);
  if (aad) cipher.setAAD(Buffer.from(aad));
  const ct = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final()]);
  return { iv, ct, tag: aead ? cipher.getAuthTag() : Buffer.alloc(0), salt };
}

function add(name, options, keys, plaintext, value) {
  const { data, with: beside } = typeof value === 'string' ? { data: value } : value;
  const bytea = Buffer.isBuffer(data);
  cases.push({
    name, keys: { options, keys }, plaintext, ...(bytea ? { data_hex: data.toString('hex') } : { data }),
    ...(beside && { with: beside }), ...(/cbc|ctr/.test(options.Algorithm ?? '') && { unauthenticated: true }),
  });
}

const raw = bytes(32, 'one');
const old = bytes(32, 'two');
const hexKey = raw.toString('hex');
const [secret, chars] = ['correct horse battery — staple', 'exactly-thirty-two-characters-12'];
const join = (sep, enc, ...parts) => parts.map((p) => p.toString(enc)).join(sep);
const t = 'ya29.node-aes';
let s;

// Layouts and encodings, of AES-256-GCM.
s = seal(t, raw); add('iv:tag:ct, hex, 16-byte iv', {}, [hexKey], t, join(':', 'hex', s.iv, s.tag, s.ct));
s = seal(t, raw, { ivLength: 12 }); add('iv:tag:ct, base64', {}, [raw.toString('base64')], t, join(':', 'base64', s.iv, s.tag, s.ct));
s = seal(t, raw, { ivLength: 32 }); add('iv:tag:ct, 32-byte iv', {}, [hexKey], t, join(':', 'hex', s.iv, s.tag, s.ct));
s = seal('1//0g-é✓-トークン', raw); add('iv:ct:tag, unicode', { Layout: 'iv:ct:tag' }, [hexKey], '1//0g-é✓-トークン', join(':', 'hex', s.iv, s.ct, s.tag));
s = seal(t, raw, { ivLength: 12 }); add('iv.ct.tag, base64url', { Layout: 'iv.ct.tag', Encoding: 'base64url' }, [raw.toString('base64url')], t, join('.', 'base64url', s.iv, s.ct, s.tag));
s = seal(t, raw); add('tag:iv:ct', { Layout: 'tag:iv:ct', Encoding: 'hex' }, [hexKey], t, join(':', 'hex', s.tag, s.iv, s.ct));
s = seal(t, raw); add('iv:ct, the tag at its end', { Layout: 'iv:ct' }, [hexKey], t, join(':', 'hex', s.iv, Buffer.concat([s.ct, s.tag])));
s = seal(t, raw); add('ct|tag|iv', { Layout: 'ct|tag|iv' }, [hexKey], t, join('|', 'base64', s.ct, s.tag, s.iv));
s = seal(t, raw); add('parts of several encodings', {}, [hexKey], t, [s.iv.toString('hex'), s.tag.toString('hex'), s.ct.toString('base64')].join(':'));
for (const ivLength of [12, 16]) {
  s = seal(t, raw, { ivLength }); add(`blob iv+tag+ct, ${ivLength}`, { Layout: 'iv+tag+ct' }, [hexKey], t, join('', 'base64', Buffer.concat([s.iv, s.tag, s.ct])));
  s = seal(t, raw, { ivLength }); add(`blob iv+ct+tag, ${ivLength}`, { Layout: 'iv+ct+tag' }, [hexKey], t, join('', 'hex', Buffer.concat([s.iv, s.ct, s.tag])));
}
s = seal(t, raw); add('blob, bytea', { Layout: 'iv+ct+tag', Encoding: 'raw', NonceLength: 16 }, [hexKey], t, { data: Buffer.concat([s.iv, s.ct, s.tag]) });
s = seal(t, raw); add('blob, bytea, encoding not told', { Layout: 'iv+ct' }, [hexKey], t, { data: Buffer.concat([s.iv, s.ct, s.tag]) });
s = seal(t, raw); add('JSON of hex', { Layout: 'json' }, [hexKey], t, JSON.stringify({ iv: s.iv.toString('hex'), authTag: s.tag.toString('hex'), encryptedData: s.ct.toString('hex') }));
s = seal(t, raw); add('JSON of base64, tag at the end', { Layout: 'json' }, [hexKey], t, JSON.stringify({ content: Buffer.concat([s.ct, s.tag]).toString('base64'), nonce: s.iv.toString('base64') }));
s = seal(t, raw); add('JSON of Buffers', { Layout: 'json' }, [hexKey], t, JSON.stringify({ iv: s.iv, tag: s.tag, ciphertext: s.ct }));
s = seal(t, raw); add('JSON in base64', { Layout: 'json' }, [hexKey], t, Buffer.from(JSON.stringify({ iv: s.iv.toString('hex'), tag: s.tag.toString('hex'), data: s.ct.toString('hex') })).toString('base64'));
s = seal(t, raw); add('three columns', { Layout: 'ct' }, [hexKey], t, { data: s.ct.toString('hex'), with: { iv: s.iv.toString('hex'), tag: s.tag.toString('hex') } });
s = seal(t, raw, { ivLength: 12 }); add('two columns', { Layout: 'ct' }, [hexKey], t, { data: Buffer.concat([s.ct, s.tag]).toString('base64'), with: { iv: s.iv.toString('base64') } });
s = seal(t, raw); add('prefix', { Prefixes: ['enc:', 'v1:'] }, [hexKey], t, 'v1:' + join(':', 'hex', s.iv, s.tag, s.ct));
s = seal(t, raw); add('prefix of some values', { Prefixes: ['enc:', ''] }, [hexKey], t, join(':', 'hex', s.iv, s.tag, s.ct));
s = seal(t, raw, { aad: 'user-4711:access_token' });
add('AAD of the row', { AAD: '{user_id}:access_token' }, [hexKey], t, { data: join(':', 'hex', s.iv, s.tag, s.ct), with: { user_id: 'user-4711' } });
s = seal(t, old); add('an older key', {}, [hexKey, old.toString('base64')], t, join(':', 'hex', s.iv, s.tag, s.ct));
s = seal(long, raw); add('64 KiB', {}, [hexKey], long, join(':', 'base64', s.iv, s.tag, s.ct));

// Keys.
for (const [derive, key, text, more] of [
  ['', Buffer.from(chars), chars], ['raw', Buffer.from(chars), chars], ['latin1', Buffer.from('zweiunddreißig-Zeichen-für-Latin', 'latin1'), 'zweiunddreißig-Zeichen-für-Latin'],
  ['hex', raw, hexKey], ['base64', raw, raw.toString('base64')], ['base64', raw, raw.toString('base64url')],
  ['sha256', crypto.createHash('sha256').update(secret).digest(), secret],
  ['sha256-hex', Buffer.from(crypto.createHash('sha256').update(secret).digest('hex').slice(0, 32)), secret],
  ['sha256-base64', Buffer.from(crypto.createHash('sha256').update(secret).digest('base64').substr(0, 32)), secret],
  ['sha512', crypto.createHash('sha512').update(secret).digest().subarray(0, 32), secret],
  ['sha512-hex', Buffer.from(crypto.createHash('sha512').update(secret).digest('hex').substring(0, 32)), secret],
  ['scrypt', crypto.scryptSync(secret, 'salt', 32), secret],
  ['scrypt', crypto.scryptSync(secret, 'pepper', 32, { N: 1024 }), secret, { Salt: 'pepper', Iterations: 1024 }],
  ['pbkdf2-sha256', crypto.pbkdf2Sync(secret, 'salt', 100000, 32, 'sha256'), secret],
  ['pbkdf2-sha512', crypto.pbkdf2Sync(secret, 'pepper', 100000, 32, 'sha512'), secret, { Salt: 'pepper' }],
  ['pbkdf2-sha1', crypto.pbkdf2Sync(secret, 'pepper', 1000, 32, 'sha1'), secret, { Salt: 'pepper', Iterations: 1000 }],
  ['hkdf-sha256', Buffer.from(crypto.hkdfSync('sha256', secret, 'pepper', 'oauth', 32)), secret, { Salt: 'pepper', Info: 'oauth' }],
]) {
  s = seal(t, key); add(`key: ${derive || 'found out'}`, { Derive: derive, ...more }, [text], t, join(':', 'hex', s.iv, s.tag, s.ct));
}
for (const n of [16, 32, 64]) {
  const salt = crypto.randomBytes(n);
  s = seal(t, crypto.scryptSync(secret, salt, 32, { N: 16 }), { ivLength: n === 16 ? 16 : 12 });
  add(`blob salt+iv+tag+ct, ${n}`, { Derive: 'scrypt', Iterations: 16, Layout: 'salt+iv+tag+ct' }, [secret], t, Buffer.concat([salt, s.iv, s.tag, s.ct]).toString('base64'));
}
{
  const salt = crypto.randomBytes(16);
  s = seal(t, crypto.pbkdf2Sync(secret, salt, 100, 32, 'sha256'));
  add('salt:iv:tag:ct', { Derive: 'pbkdf2-sha256', Iterations: 100, Layout: 'salt:iv:tag:ct' }, [secret], t, join(':', 'hex', salt, s.iv, s.tag, s.ct));
  s = seal(t, crypto.pbkdf2Sync(secret, salt, 100, 32, 'sha256'));
  add('a column of salts', { Derive: 'pbkdf2-sha256', Iterations: 100 }, [secret], t, { data: join(':', 'hex', s.iv, s.tag, s.ct), with: { salt: salt.toString('hex') } });
}
add('cryptr', { Derive: 'pbkdf2-sha512', Iterations: 100, Layout: 'salt+iv+tag+ct', Encoding: 'hex' }, [secret], t, new Cryptr(secret, { pbkdf2Iterations: 100 }).encrypt(t));
add('cryptr, base64, a short salt', { Derive: 'pbkdf2-sha512', Iterations: 100, SaltLength: 10, NonceLength: 16, Layout: 'salt+iv+tag+ct' }, [secret], t,
  new Cryptr(secret, { encoding: 'base64', pbkdf2Iterations: 100, saltLength: 10 }).encrypt(t));

// Algorithms.
for (const [algorithm, n] of [['aes-128-gcm', 16], ['aes-192-gcm', 24]]) {
  s = seal(t, raw.subarray(0, n), { algorithm }); add(algorithm, { Algorithm: algorithm }, [raw.subarray(0, n).toString('hex')], t, join(':', 'hex', s.iv, s.tag, s.ct));
}
for (const [algorithm, n] of [['aes-256-cbc', 32], ['aes-192-cbc', 24], ['aes-128-cbc', 16], ['aes-256-ctr', 32]]) {
  s = seal(t, raw.subarray(0, n), { algorithm }); add(algorithm, { Algorithm: algorithm, Layout: 'iv:ct' }, [raw.subarray(0, n).toString('hex')], t, join(':', 'hex', s.iv, s.ct));
}
s = seal('{"access_token":"ya29.cal-é"}', Buffer.from(chars, 'latin1'), { algorithm: 'aes-256-cbc' });
add('as Cal.com', { Algorithm: 'aes-256-cbc', Derive: 'latin1', Layout: 'iv:ct' }, [chars], '{"access_token":"ya29.cal-é"}', join(':', 'hex', s.iv, s.ct));
s = seal(t, raw, { algorithm: 'aes-256-cbc' }); add('aes-256-cbc, blob', { Algorithm: 'aes-256-cbc', Layout: 'iv+ct' }, [hexKey], t, Buffer.concat([s.iv, s.ct]).toString('base64'));
s = seal(t, raw, { algorithm: 'chacha20-poly1305', ivLength: 12 }); add('chacha20-poly1305', { Algorithm: 'chacha20-poly1305' }, [hexKey], t, join(':', 'hex', s.iv, s.tag, s.ct));
const nonce = nacl.randomBytes(24);
const box = nacl.secretbox(new TextEncoder().encode('ya29.secretbox-é'), nonce, raw);
add('secretbox, blob', { Algorithm: 'secretbox', Layout: 'iv+ct' }, [raw.toString('base64')], 'ya29.secretbox-é', Buffer.concat([nonce, box]).toString('base64'));
add('secretbox, nonce:box', { Algorithm: 'secretbox', Layout: 'iv:ct' }, [hexKey], 'ya29.secretbox-é', join(':', 'base64', Buffer.from(nonce), Buffer.from(box)));

answers('node-aes', `node ${process.version} crypto, npm cryptr@6.4.0 and tweetnacl@1.0.3, by make-node-aes.mjs`, cases);
