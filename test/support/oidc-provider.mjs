// A real identity provider (oidc-provider) in a process of its own, on loopback: whoever types a name is that subject. It
// listens first and says where, then hears which clients it has, so that both sides can be told of each other.
import { createServer } from "node:http";
import { exportJWK, generateKeyPair } from "jose";
import Provider from "oidc-provider";

const server = createServer();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
const { privateKey } = await generateKeyPair("RS256", { extractable: true });
const key = { ...(await exportJWK(privateKey)), kid: "provider-1", use: "sig", alg: "RS256" };

process.on("disconnect", () => process.exit(0));
process.on("message", (clients) => {
  const provider = new Provider(issuer, {
    clients,
    jwks: { keys: [key] },
    cookies: { keys: ["of a test"] },
    pkce: { required: () => true },
    findAccount: async (_context, id) => ({
      accountId: id,
      claims: async () => ({ sub: id, email: `${id}@acme.test`, email_verified: true }),
    }),
    features: { devInteractions: { enabled: true } },
  });
  server.on("request", provider.callback());
  process.send({ ready: true });
});
process.send({ issuer });
