// Calls a sandbox with the official SDK and prints one line of JSON for each
// scenario: {"name", "value"} for what a call returned, {"name", "error"} for
// what it threw. TestSDK judges them.
//
//   node check.mjs URL URL_OF_ONE_CALL_A_MINUTE

import { Vercel } from "@vercel/sdk";
import { SDKError } from "@vercel/sdk/models/sdkerror.js";
import { VercelError } from "@vercel/sdk/models/vercelerror.js";

const [url, limitedURL] = process.argv.slice(2);
const connector = "slack/acme-slack";

const token = (id, more = {}) => ({
  accessToken: `access-of-${id}`,
  expiresAt: 1900000000000,
  subject: { type: "user", id },
  environment: "production",
  ...more,
});

const full = token("full", {
  refreshToken: 'refresh "of" full \u00e4\u{1f600}',
  refreshTokenExpiresAt: 1950000000000,
  subject: { type: "user", id: "full", issuer: "https://issuer.example", additionalProperties: { region: "eu" } },
  environment: "env_Custom1",
  installationId: "inst-1",
  audience: ["https://api.example"],
  scopes: ["chat:write", "users:read"],
  resources: ["res-1"],
  authorizationDetails: [{ type: "payment", additionalProperties: { amount: 3 } }],
  name: "Ann \\ <b>",
  externalSubject: "U012",
  installation: { id: "inst-1", name: "Acme" },
  tenant: { id: "T1", name: "Tenant" },
  data: { nested: { list: [1, true, null, "x"] } },
});

async function scenario(name, serverURL, bearerToken, connector, tokens) {
  const vercel = new Vercel({ serverURL, bearerToken });
  let line;
  try {
    line = { name, value: await vercel.connect.importConnectorTokens({ connector, requestBody: { tokens } }) };
  } catch (e) {
    line = {
      name,
      error: {
        class: e.constructor.name,
        sdkError: e instanceof SDKError,
        vercelError: e instanceof VercelError,
        status: e.statusCode,
        retryAfter: e.headers?.get("retry-after"),
        body: e.body,
        message: String(e.message),
      },
    };
  }
  console.log(JSON.stringify(line));
}

await scenario("imported", url, "right", connector, [full, token("", { accessToken: "access-of-app", subject: { type: "app" } }), token("refused")]);
await scenario("none", url, "right", connector, []);
await scenario("bad request", url, "right", connector, [token("a"), token("b", { environment: "staging" })]);
await scenario("unauthorized", url, "wrong", connector, [token("a")]);
await scenario("forbidden", url, "right", "secret/x", [token("a")]);
await scenario("not found", url, "right", "slack/other", [token("a")]);
await scenario("gone", url, "right", "scl_gone", [token("a")]);
await scenario("unprocessable", url, "right", connector, [token("rejected")]);
await scenario("limit kept", limitedURL, "any", connector, [token("a")]);
await scenario("rate limited", limitedURL, "any", connector, [token("a")]);
