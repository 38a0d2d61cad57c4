/**
 * A service of a federated domain, as a process of its own: it takes JWT-SVIDs as bearers, by our own verifier, the
 * way an adopter would. Our own guard takes none.
 *
 *   node attacks/support/jwt-service.ts <bundle file> <trust domain> <audience>
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { verifyJwtSvid } from "@trustwarden/core/agentid/jwt-svid.ts";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

const [file = "", domain = "", audience = ""] = process.argv.slice(2);
const trustDomain = parseTrustDomain(domain);
const bundle = parseTrustBundle(readFileSync(file, "utf8"), trustDomain);
const bundles = new Map([[trustDomain, bundle]]);

const server = createServer({ maxHeaderSize: 65_536 }, (request, response) => {
  const { status, body } = answer(request.headers.authorization ?? "");
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
});

function answer(authorization: string): { readonly status: number; readonly body: object } {
  try {
    const token = authorization.replace(/^Bearer /, "");
    const { id } = verifyJwtSvid(token, { bundles, audience, now: Math.floor(Date.now() / 1000) });
    return { status: 200, body: { id } };
  } catch (error) {
    if (!(error instanceof TrustWardenError)) throw error;
    return { status: error.status, body: { error: { code: error.code } } };
  }
}

server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  process.stdout.write(`${JSON.stringify({ ready: true, url: `http://127.0.0.1:${port}` })}\n`);
});
process.once("SIGTERM", () => {
  server.close();
  server.closeAllConnections();
});
