// Needs npm n8n-core@2.41.1. Seals credentials of the kinds that n8n keeps, all
// under one instance key, and writes n8n.json.
import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';

const require = createRequire(process.cwd() + '/');
const { Cipher } = require('n8n-core/dist/encryption/cipher.js');
const cipher = new Cipher({ encryptionKey: 'mT4vYq8Zr2Lx6Nc0Wb5Jd9Hs3Kf7Pg1A' }, {});

const client = { clientId: 'cid', clientSecret: 'cs', grantType: 'authorizationCode' };
const documents = {
  refreshed: { ...client, scope: 'ignored', oauthTokenData: { access_token: 'ya29.n8n', refresh_token: '1//réfresh-✓', scope: 'openid https://mail.google.com/', expires_in: 3599, n8n_expires_at: '1893456000000' } },
  'not refreshed': { ...client, scope: 'a b', oauthTokenData: { access_token: 'at', refresh_token: 'rt', expires_in: '3600' } },
  'camelCase': { ...client, oauthTokenData: { accessToken: 'at', refreshToken: 'rt', expiresIn: 3600 } },
  'no expiry': { ...client, oauthTokenData: { access_token: 'xoxb-1', scope: 'chat:write,users:read' } },
  'zero expiry': { ...client, oauthTokenData: { access_token: 'at', expires_in: 0 } },
  'client credentials': { ...client, grantType: 'clientCredentials', oauthTokenData: { access_token: 'cc', expires_in: 3600 } },
  'never connected': client,
  'empty token data': { ...client, oauthTokenData: {} },
  expression: { ...client, oauthTokenData: { access_token: '={{ $secrets.vault.token }}' } },
  'refresh token only': { ...client, oauthTokenData: { refresh_token: 'rt' } },
  'OAuth 1': { ...client, oauthTokenData: { oauth_token: 't', oauth_token_secret: 's' } },
  'API key': { apiKey: 'k' },
};
const cases = Object.entries(documents).map(([name, d]) => ({ name, data: cipher.encryptWithInstanceKey(JSON.stringify(d)) }));
writeFileSync('n8n.json', JSON.stringify({ name: 'n8n', made_by: 'npm n8n-core@2.41.1, class Cipher, by make-n8n.mjs', cases }, null, 1) + '\n');
