// Writes credentials as n8n keeps them: encrypted by n8n-core's own cipher, in the
// tables that n8n's migrations make (those that matter here). MODE is classic, or
// keyed (half of them under a data key of deployment_key).
import { createRequire } from 'node:module';
import { accounts, pool, tell } from './accounts.mjs';

const { Cipher } = createRequire(import.meta.url)('n8n-core/dist/encryption/cipher.js');
const encryptionKey = 'mT4vYq8Zr2Lx6Nc0Wb5Jd9Hs3Kf7Pg1A';
const cipher = (active) => new Cipher({ encryptionKey },
  { getActiveKey: async () => active, getKeyById: async () => active, getLegacyKey: async () => undefined });

await pool.query(`
CREATE TABLE "user" (id uuid PRIMARY KEY, email varchar(255));
CREATE TABLE project (id varchar(36) PRIMARY KEY, name varchar(255) NOT NULL, type varchar(36) NOT NULL);
CREATE TABLE project_relation ("projectId" varchar(36) NOT NULL, "userId" uuid NOT NULL, role varchar NOT NULL, PRIMARY KEY ("projectId", "userId"));
CREATE TABLE credentials_entity (id varchar(36) PRIMARY KEY, name varchar(128) NOT NULL, data text NOT NULL, type varchar(128) NOT NULL,
  "createdAt" timestamptz(3) NOT NULL DEFAULT now(), "updatedAt" timestamptz(3) NOT NULL DEFAULT now(), "isManaged" boolean NOT NULL DEFAULT false,
  "isGlobal" boolean NOT NULL DEFAULT false, "isResolvable" boolean NOT NULL DEFAULT false);
CREATE TABLE shared_credentials ("credentialsId" varchar(36) NOT NULL, "projectId" varchar(36) NOT NULL, role text NOT NULL, PRIMARY KEY ("credentialsId", "projectId"));
CREATE TABLE deployment_key (id varchar(36) PRIMARY KEY, type varchar(64) NOT NULL, value text NOT NULL, algorithm varchar(20), status varchar(20))`);

const dataKey = { id: 'dataKey_2026-A', algorithm: 'aes-256-gcm', value: cipher().encryptDEKWithInstanceKey('6f1d2c3b4a5968778695a4b3c2d1e0ff00112233445566778899aabbccddeeff') };
const keyed = process.env.MODE === 'keyed';
if (keyed)
  await pool.query(`INSERT INTO deployment_key VALUES ($1, 'data_encryption', $2, $3, 'active')`, [dataKey.id, dataKey.value, dataKey.algorithm]);
const seal = (text, i) => keyed && i % 2 ? cipher({ ...dataKey, format: 'prefixed' }).encryptV2(text) : cipher().encryptWithInstanceKey(text);

const types = { google: 'googleSheetsOAuth2Api', github: 'githubOAuth2Api', microsoft: 'microsoftOutlookOAuth2Api' };
const written = [];
const credential = async (i, type, doc) => {
  const id = `cred${String(i).padStart(12, '0')}`;
  await pool.query('INSERT INTO credentials_entity (id, name, type, data) VALUES ($1, $2, $3, $4)', [id, `credential ${i}`, type, await seal(JSON.stringify(doc), i)]);
  await pool.query(`INSERT INTO shared_credentials VALUES ($1, $2, 'credential:owner')`, [id, `project${i}`]);
};
for (const a of accounts(20)) {
  const user = `00000000-0000-4000-8000-${String(a.user).padStart(12, '0')}`;
  await pool.query('INSERT INTO "user" VALUES ($1, $2)', [user, `u${a.user}@example.com`]);
  await pool.query(`INSERT INTO project VALUES ($1, 'personal', 'personal')`, [`project${a.user}`]);
  await pool.query(`INSERT INTO project_relation VALUES ($1, $2, 'project:personalOwner')`, [`project${a.user}`, user]);
  await credential(a.user, types[a.provider], {
    clientId: 'id', clientSecret: 'cs', scope: 'openid',
    oauthTokenData: { access_token: a.access, refresh_token: a.refresh ?? undefined, token_type: 'Bearer', expires_in: 3599, scope: a.scopes.join(' ') || undefined, n8n_expires_at: String(a.expires) },
  });
  written.push({ ...a, provider: types[a.provider], user, external: undefined });
}
await pool.query(`INSERT INTO project VALUES ('project99', 'Team', 'team')`);
await credential(99, 'httpHeaderAuth', { name: 'X-Key', value: 'secret' });
await tell(written);
