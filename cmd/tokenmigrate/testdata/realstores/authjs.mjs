// Writes accounts as Auth.js does: through @auth/pg-adapter, into the tables of
// its documented schema.
import PostgresAdapter from '@auth/pg-adapter';
import { accounts, pool, tell } from './accounts.mjs';

await pool.query(`
CREATE TABLE verification_token (identifier TEXT NOT NULL, expires TIMESTAMPTZ NOT NULL, token TEXT NOT NULL, PRIMARY KEY (identifier, token));
CREATE TABLE accounts (id SERIAL, "userId" INTEGER NOT NULL, type VARCHAR(255) NOT NULL, provider VARCHAR(255) NOT NULL,
  "providerAccountId" VARCHAR(255) NOT NULL, refresh_token TEXT, access_token TEXT, expires_at BIGINT, id_token TEXT, scope TEXT,
  session_state TEXT, token_type TEXT, PRIMARY KEY (id));
CREATE TABLE sessions (id SERIAL, "userId" INTEGER NOT NULL, expires TIMESTAMPTZ NOT NULL, "sessionToken" VARCHAR(255) NOT NULL, PRIMARY KEY (id));
CREATE TABLE users (id SERIAL, name VARCHAR(255), email VARCHAR(255), "emailVerified" TIMESTAMPTZ, image TEXT, PRIMARY KEY (id))`);

const adapter = PostgresAdapter(pool);
const written = [];
for (const a of accounts(40)) {
  const user = await adapter.createUser({ name: `user ${a.user}`, email: `u${a.user}@example.com`, emailVerified: null });
  await adapter.linkAccount({
    userId: user.id, provider: a.provider, type: 'oauth', providerAccountId: a.external,
    access_token: a.access, refresh_token: a.refresh, expires_at: a.expires / 1000, scope: a.scopes.join(' ') || null, token_type: 'bearer', id_token: 'idt',
  });
  written.push({ ...a, user: String(user.id) });
}
await tell(written);
