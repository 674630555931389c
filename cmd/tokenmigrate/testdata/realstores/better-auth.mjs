// Writes accounts as Better Auth does: tables by its own migrations, accounts
// by its own adapter, encrypted by its own code. MODE is plain, encrypted (one
// secret), versioned (several secrets) or mixed (plain ones first, then under the
// old secret alone, then versioned).
import { betterAuth } from 'better-auth';
import { symmetricEncrypt } from 'better-auth/crypto';
import { getMigrations } from 'better-auth/db/migration';
import { accounts, pool, tell } from './accounts.mjs';

const old = 'an-old-secret-of-enough-length-0123456789', current = 'the-secret-of-today-of-enough-length-9876';
const options = (encrypted, secrets) => ({
  database: pool, baseURL: 'http://localhost:3000', telemetry: { enabled: false }, logger: { disabled: true },
  account: { encryptOAuthTokens: encrypted },
  ...(secrets ? { secret: old, secrets: [{ version: 2, value: current }, { version: 1, value: old }] } : { secret: old }),
});
const phases = {
  plain: [options(false)],
  encrypted: [options(true)],
  versioned: [options(true, true)],
  mixed: [options(false), options(true), options(true, true)],
}[process.env.MODE];

await (await getMigrations(phases[0])).runMigrations();
const written = [];
const all = accounts(45);
for (const [i, phase] of phases.entries()) {
  const context = await betterAuth(phase).$context;
  const seal = async (text) =>
    text && phase.account.encryptOAuthTokens ? symmetricEncrypt({ key: context.secretConfig, data: text }) : text;
  for (const a of all.slice(i * 15, i === phases.length - 1 ? undefined : (i + 1) * 15)) {
    const user = await context.internalAdapter.createUser({ name: `user ${a.user}`, email: `u${a.user}@example.com`, emailVerified: true });
    await context.internalAdapter.createAccount({
      userId: user.id, providerId: a.provider, accountId: a.external,
      accessToken: await seal(a.access), refreshToken: await seal(a.refresh),
      accessTokenExpiresAt: new Date(a.expires), refreshTokenExpiresAt: a.user % 2 ? new Date(a.expires + 1000) : undefined,
      scope: a.scopes.join(',') || undefined,
    });
    written.push({ ...a, user: user.id, refreshExpires: a.user % 2 && a.refresh ? a.expires + 1000 : undefined });
  }
  if (i === 0) {
    const user = await context.internalAdapter.createUser({ name: 'by password', email: 'p@example.com', emailVerified: true });
    await context.internalAdapter.createAccount({ userId: user.id, providerId: 'credential', accountId: user.id, password: 'hash' });
  }
}
await tell(written);
