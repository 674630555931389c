// The accounts that every store is given, and how a script tells what it wrote.
import pg from 'pg';

export const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });

const day = 86_400_000;
const soon = Math.floor(Date.now() / 1000) * 1000;

// accounts returns n accounts of some users, with tokens of several shapes.
export function accounts(n) {
  return Array.from({ length: n }, (_, i) => ({
    user: i,
    provider: ['google', 'github', 'microsoft'][i % 3],
    external: `ext-${i}-ü`,
    access: `access-${i}-` + (i % 7 === 0 ? 'ä✓\\"\'' : 'abc') + (i === 5 ? 'x'.repeat(65_536) : ''),
    refresh: i % 4 === 1 ? null : `refresh-${i}-1//0g`,
    expires: soon + (i + 1) * day,
    scopes: i % 5 === 4 ? [] : ['openid', `https://www.googleapis.com/auth/scope-${i}`],
  }));
}

// tell prints what was written as JSON, for the test to compare, and ends.
export async function tell(written) {
  await pool.end();
  process.stdout.write(JSON.stringify(written));
}
