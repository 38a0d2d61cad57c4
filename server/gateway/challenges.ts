/**
 * What the gateway tells clients that present credentials: where its upstreams' metadata is, how to prove a key, and the
 * next nonce, of DPoP proofs and of message signatures.
 *
 * @see RFC 9728 §3, §5.1; RFC 9449 §7.1, §9; RFC 9421 §5; draft-ietf-wimse-wpt-02 §2.1
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type ErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import { formatCanonicalJson } from "@trustwarden/core/json.ts";
import type { RequestTarget } from "@trustwarden/core/request-target.ts";
import type { Services } from "../http/services.ts";
import type { UpstreamState } from "../store/gateway-ports.ts";
import type { GatewayCaller } from "./ports.ts";

/** The one public document of the gateway's listener, for each upstream. */
const RESOURCE_METADATA_PATH = "/.well-known/oauth-protected-resource/";

/** With a body, its `content-digest` besides. */
const SIGNED = '("@method" "@target-uri" "authorization" "workload-identity-token")';
/** Refusals that another proof would mend. */
const PROOF_CODES: ReadonlySet<ErrorCode> = new Set([
  "dpop_nonce_missing",
  "signature_nonce_missing",
  "message_signature_missing",
]);

/** Whether a request asks for metadata, and not for an upstream. */
export function isMetadata({ path }: RequestTarget): boolean {
  return path.startsWith(RESOURCE_METADATA_PATH);
}

/**
 * Answers with the metadata of an upstream: public, since a client needs it before it has anything.
 *
 * @throws TrustWardenError `method_not_allowed`, `upstream_unknown`.
 */
export function answerMetadata(
  services: Services,
  parts: {
    readonly request: IncomingMessage;
    readonly response: ServerResponse;
    readonly target: RequestTarget;
  },
): void {
  const { request, response, target } = parts;
  if (request.method !== "GET") throw new TrustWardenError("method_not_allowed");
  const upstream = services.gateway.upstreams.find(target.path.slice(RESOURCE_METADATA_PATH.length));
  const content = formatResourceMetadata(services, { origin: originOf(services, request), upstream });
  response.writeHead(200, {
    "content-type": "application/json",
    // A nonce comes with it, so that a client needs no refusal to begin.
    "cache-control": "no-store",
    ...formatNonce(services),
    ...formatSignatureRequest(services),
    "x-content-type-options": "nosniff",
  });
  response.end(content);
}

/** The origin that a request came by, when it is one of ours: another port of the same host is another server. */
function originOf({ gateway }: Pick<Services, "gateway">, { headers }: IncomingMessage): string {
  const own = `https://${String(headers.host).toLowerCase()}`;
  const origins = gateway.origins();
  return origins.includes(own) ? own : (origins[0] ?? own);
}

/** Metadata of an upstream as a protected resource. @param origin - of the gateway, as the client spelled it. */
function formatResourceMetadata(
  { oauth }: Pick<Services, "oauth">,
  { origin, upstream }: { readonly origin: string; readonly upstream: UpstreamState },
): string {
  return formatCanonicalJson({
    resource: `${origin}/${upstream.name}`,
    authorization_servers: [oauth.issuer],
    // No method of RFC 6750: a token without its key is worth nothing here.
    bearer_methods_supported: [],
    dpop_signing_alg_values_supported: ["ES256"],
    dpop_bound_access_tokens_required: true,
  });
}

/** Headers of a refusal; none where the refusal has nothing to do with credentials. */
export function formatChallenge(
  services: Services,
  refused: {
    readonly failure: TrustWardenError;
    readonly request: IncomingMessage;
    readonly upstream: UpstreamState | undefined;
  },
): Readonly<Record<string, string>> {
  const { failure, request, upstream } = refused;
  if (failure.status !== 401 && !PROOF_CODES.has(failure.code)) return {};
  const error = request.headers.authorization === undefined ? "" : `error="${errorOf(failure)}", `;
  const place = `${originOf(services, request)}${RESOURCE_METADATA_PATH}${upstream?.name}`;
  const metadata = upstream === undefined ? "" : `, resource_metadata="${place}"`;
  const others = services.witSvid ? ", WPT" : "";
  return {
    "www-authenticate": `DPoP ${error}algs="ES256"${metadata}${others}`,
    ...formatNonce(services),
    ...formatSignatureRequest(services),
  };
}

/** The nonce for the next proof of a caller that presents them. */
export function nonceFor(
  services: Services,
  { presented }: Pick<GatewayCaller, "presented">,
): Readonly<Record<string, string>> {
  if (presented === null) return {};
  return presented.kind === "wit" ? formatSignatureRequest(services) : formatNonce(services);
}

function formatNonce({ oauth, clock }: Pick<Services, "oauth" | "clock">): Readonly<Record<string, string>> {
  return { "dpop-nonce": oauth.nonce(Math.floor(clock.nowMs() / 1000)) };
}

/** How a caller with a WIT-SVID signs its next request; nothing where none are accepted. */
function formatSignatureRequest({
  oauth,
  clock,
  witSvid,
}: Pick<Services, "oauth" | "clock" | "witSvid">): Readonly<Record<string, string>> {
  if (!witSvid) return {};
  const nonce = oauth.nonce(Math.floor(clock.nowMs() / 1000));
  return { "accept-signature": `sig=${SIGNED};created;nonce="${nonce}"` };
}

function errorOf({ code }: TrustWardenError): string {
  if (code === "dpop_nonce_missing") return "use_dpop_nonce";
  return code === "dpop_invalid" || code === "dpop_replayed" ? "invalid_dpop_proof" : "invalid_token";
}
