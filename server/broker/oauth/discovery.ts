/**
 * Finds the token endpoint of an upstream's authorization server: from the upstream's own metadata to that of the server
 * whose issuer the operator named, and nowhere else.
 *
 * What is read decides where a client's secret goes. So the upstream has to name itself and the issuer, the server has to
 * name itself, and its endpoint lies at the issuer's origin: a document that was changed on the way, or that is
 * another's, leads nowhere.
 *
 * @see RFC 9728 §3.1, §3.3; RFC 8414 §3.1, §3.3; RFC 8707 §2; MCP authorization, revision 2026-07-28
 */
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";

const MAX_DOCUMENT_BYTES = 65_536;

/** What an operator says in the place of an endpoint. */
export interface Discovery {
  /** Of the authorization server. */
  readonly issuer: string;
  /** Of the upstream: what its tokens are for. */
  readonly resource: string;
}

/** Reads a document at one of the two origins. */
type ReadDocument = (request: {
  readonly url: string;
  readonly method: "GET";
  readonly headers: Readonly<Record<string, string>>;
  readonly maxBytes: number;
}) => Promise<{ readonly status: number; readonly body: Uint8Array }>;

/**
 * The token endpoint.
 *
 * @throws TrustWardenError `secret_unavailable` with the reason.
 */
export async function discoverTokenEndpoint(
  { issuer, resource }: Discovery,
  fetch: ReadDocument,
): Promise<string> {
  const upstream = await read(fetch, wellKnown(resource, "oauth-protected-resource"));
  if (upstream.resource !== resource) throw undiscovered("the upstream's metadata is another resource's");
  const servers = upstream.authorization_servers;
  if (!Array.isArray(servers) || !servers.includes(issuer)) {
    throw undiscovered("the upstream does not name the issuer");
  }
  const server = await read(fetch, wellKnown(issuer, "oauth-authorization-server"));
  if (server.issuer !== issuer) throw undiscovered("the server's metadata is another issuer's");
  const { token_endpoint: endpoint } = server;
  const url = typeof endpoint === "string" ? URL.parse(endpoint) : null;
  if (url === null || url.origin !== new URL(issuer).origin || url.username !== "" || url.hash !== "") {
    throw undiscovered("the token endpoint is not at the issuer");
  }
  return url.href;
}

/** RFC 8615: the well-known part comes before the path. */
function wellKnown(text: string, name: string): string {
  const { origin, pathname } = new URL(text);
  return `${origin}/.well-known/${name}${pathname === "/" ? "" : pathname.replace(/\/$/, "")}`;
}

async function read(fetch: ReadDocument, url: string): Promise<JsonObject> {
  try {
    const headers = { accept: "application/json" };
    const { status, body } = await fetch({ url, method: "GET", headers, maxBytes: MAX_DOCUMENT_BYTES });
    if (status !== 200) throw undiscovered("another status than 200");
    return parseJsonObject(parseUtf8(body));
  } catch (cause) {
    if (!(cause instanceof TrustWardenError) || cause.code === "secret_unavailable") throw cause;
    throw undiscovered(String(cause.details.reason ?? "no JSON"), cause);
  }
}

function undiscovered(reason: string, cause?: unknown): TrustWardenError {
  return new TrustWardenError("secret_unavailable", { from: "metadata", reason }, { cause });
}
