/**
 * A service that takes whoever comes through its gateway and nobody else, as a process of its own:
 *
 *   node attacks/support/behind-gateway.ts <file>
 *
 * The file names what it knows; it is read anew for each request, since the gateway starts after it. The caller has to
 * show a gateway's SVID, and with it the receipt of a decision that allows, was made just now about this very request at
 * this very gateway, and was not shown before. Everything about that is proven by the words of the SDK, as an adopter would.
 */
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { createServer } from "node:https";
import { parseSpiffeId, parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { peerChainOf, verifyBroughtCall } from "trustwarden";

/** What the service knows. */
export interface Knowledge {
  readonly certFile: string;
  readonly keyFile: string;
  readonly trustDomain: string;
  readonly bundle: string;
  /** SPIFFE IDs that may bring calls. */
  readonly gateways: readonly string[];
  /** base64url DER of the server that decides. */
  readonly serverChain: readonly string[];
  readonly logVkey: string;
}

const [file = ""] = process.argv.slice(2);
const read = (): Knowledge => JSON.parse(readFileSync(file, "utf8"));
const spent = new Set<string>();

const { certFile, keyFile } = read();
const server = createServer(
  {
    cert: readFileSync(certFile),
    key: readFileSync(keyFile),
    requestCert: true,
    // Whoever is nobody gets an answer of ours.
    rejectUnauthorized: false,
    minVersion: "TLSv1.3",
  },
  (request, response) => {
    const { status, body } = answer(request);
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  },
);

function answer(request: IncomingMessage): { readonly status: number; readonly body: object } {
  try {
    requireThroughGateway(request);
    return { status: 200, body: { agent: request.headers["trustwarden-agent"] } };
  } catch (error) {
    if (!(error instanceof TrustWardenError)) throw error;
    return { status: 401, body: { error: { code: error.code } } };
  }
}

function requireThroughGateway({ socket, headers, method, url }: IncomingMessage): void {
  const { trustDomain, bundle, gateways, serverChain, logVkey } = read();
  const domain = parseTrustDomain(trustDomain);
  const bundles = new Map([[domain, parseTrustBundle(bundle, domain)]]);
  const now = Math.floor(Date.now() / 1000);
  const { id } = verifyX509Svid(peerChainOf(socket), bundles, now);
  if (!gateways.map((text) => parseSpiffeId(text)).includes(id)) throw new TrustWardenError("peer_untrusted");
  const request = { method: method ?? "", target: url ?? "", body: new Uint8Array() };
  const { decision } = verifyBroughtCall(
    { gateway: id, request, headers },
    {
      server: verifyX509Svid(serverChain.map(parseBase64url), bundles, now).leaf,
      logVkey,
      nowMs: Date.now(),
    },
  );
  if (spent.has(decision.event_id)) throw new TrustWardenError("receipt_invalid", { reason: "spent" });
  spent.add(decision.event_id);
}

server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  process.stdout.write(`${JSON.stringify({ ready: true, url: `https://localhost:${port}` })}\n`);
});
process.once("SIGTERM", () => {
  server.close();
  server.closeAllConnections();
});
