/**
 * The agent's side of a control-plane request: its signed intent, in two headers, for exactly this request.
 */
import { parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { requireSameRequest, type VerifiedIntent, verifyIntent } from "@trustwarden/core/intent.ts";
import type { AgentPrincipal } from "@trustwarden/core/principal.ts";
import { type Arrival, pathOfTarget } from "./arrival.ts";
import type { LivePeer } from "./peer.ts";

const SALT_BYTES = 32;

/**
 * The intent of a request to the server itself.
 *
 * @param options.audience - SPIFFE ID of this server.
 * @param options.now - Unix seconds.
 * @throws TrustWardenError `no_intent`, `base64_malformed`, and the codes of `verifyIntent` and `requireSameRequest`.
 */
export function verifyControlIntent(
  arrival: Arrival,
  options: { readonly peer: LivePeer; readonly audience: string; readonly now: number },
): VerifiedIntent {
  const envelope = parseUtf8(parseBase64url(header(arrival, "trustwarden-intent")));
  const salt = parseBase64url(header(arrival, "trustwarden-salt"));
  if (salt.length !== SALT_BYTES) throw new TrustWardenError("intent_mismatch", { reason: "salt" });
  const { leaf } = options.peer.svid;
  const intent = verifyIntent(envelope, { leaf, audience: options.audience, now: options.now });
  const { method, target, rawBody } = arrival;
  requireSameRequest(intent.intent, { method, target, body: rawBody }, salt);
  return intent;
}

/**
 * Refuses an intent that another agent's words claim, or that was meant for another route.
 *
 * @param expected.action - what the route is, such as `revoke:instance`.
 * @throws TrustWardenError `intent_mismatch`.
 */
export function requireIntentOf(
  { intent }: VerifiedIntent,
  agent: AgentPrincipal,
  expected: { readonly action: string; readonly resource: string },
): void {
  requireSigner({ intent }, agent);
  if (intent.action !== expected.action) mismatch("action");
  if (intent.resource !== expected.resource) mismatch("resource");
}

/** Refuses an intent whose names are not those of the SVID that signed it. @throws TrustWardenError `intent_mismatch`. */
export function requireSigner({ intent }: Pick<VerifiedIntent, "intent">, agent: AgentPrincipal): void {
  if (intent.agent.id !== agent.agentId || intent.agent.spiffe_id !== agent.spiffeId) mismatch("agent");
}

/** The resource URI of a route of this server, as requested, without its query. */
export function formatControlResource(trustDomain: string, target: string): string {
  return `trustwarden://${trustDomain}${pathOfTarget(target)}`;
}

/** A credential header that is there exactly once; Node joins repeated ones with a comma, which never parses. */
function header({ headers }: Arrival, name: string): string {
  const value = headers[name];
  if (typeof value !== "string" || value === "") throw new TrustWardenError("no_intent", { header: name });
  return value;
}

function mismatch(reason: string): never {
  throw new TrustWardenError("intent_mismatch", { reason });
}
