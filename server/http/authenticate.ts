/**
 * The first step of the path on this server: from an arrival to a proven caller.
 *
 * Which proof is asked for depends on the listener, the route and the headers that are there, and each leads to
 * exactly one kind of principal; a refusal never falls through to a weaker proof. Bearer tokens are none of them.
 */
import { pathOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import { claimCollection, claimRequest } from "@trustwarden/core/api/claims.ts";
import { instanceRequest } from "@trustwarden/core/api/identity.ts";
import { subjectComing, subjectLogin } from "@trustwarden/core/api/identity-providers.ts";
import { comingRequest, loginRequest } from "@trustwarden/core/api/people.ts";
import { attestedInstanceRequest, nodeRequest } from "@trustwarden/core/api/registration.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { VerifierPrincipal } from "@trustwarden/core/principal.ts";
import { proveSubjectComing, proveSubjectLogin } from "../console/oidc/proof.ts";
import { proveComing, proveLogin, provePerson } from "../console/session-proof.ts";
import { authenticateClient } from "../oauth/client-authentication.ts";
import { withNewest } from "../shared/sharing.ts";
import type { Arrival } from "./arrival.ts";
import type { Caller, Enrolments } from "./caller.ts";
import { verifyAsking, verifyCollecting } from "./claim-credentials.ts";
import { verifyEnrollee } from "./enrolment-credentials.ts";
import { verifyAttestedWorkload, verifyJoiningNode } from "./evidence-credentials.ts";
import { formatControlResource, requireIntentOf, verifyControlIntent } from "./intent-credentials.ts";
import {
  agentOf,
  type LivePeer,
  nodeOf,
  requireLivePeer,
  requireReportingPeer,
  verifierOf,
  verifyPeerSvid,
} from "./peer.ts";
import { formatRoute, type GuardedRoute } from "./route.ts";
import type { Services } from "./services.ts";
import { claimIntent } from "./used-once.ts";

const VERIFIERS = "/trustwarden/verifier/";
const NODES = "/trustwarden/node/";
const RELAYS = "/trustwarden/relay/";
/** All that a relay may ask: its key is worth no more to a thief. */
const RELAY_PATHS: readonly string[] = ["/v1/lease", "/v1/svids/renew"];

/** What is known of a caller even when the rest of its proof fails. */
export interface Evidence {
  /** SPIFFE ID that the socket proved. */
  spiffeId?: string;
}

/**
 * The caller of a guarded route of the control plane.
 *
 * @param evidence - filled in on the way, for the record of a refusal.
 * @throws TrustWardenError any 401 code; 400 codes for credentials that do not parse; `checkpoint_unpublished`; `clock_rolled_back`.
 */
export async function authenticateCaller(
  services: Services,
  visit: { readonly arrival: Arrival; readonly route: GuardedRoute },
  evidence: Evidence,
): Promise<Caller> {
  const { arrival, route } = visit;
  // Whoever holds a bearer token can be anybody who has seen it (D2).
  if (arrival.headers.authorization !== undefined) throw new TrustWardenError("svid_bearer_refused");
  // A session that was ended at one server counts at no other.
  if (arrival.listener === "console" && services.sharing.isShared) await services.sharing.catchUp();
  const caller = await withNewest(services, () => proveCaller(services, visit, evidence));
  if (caller.intent !== null) await claimIntent(services, caller.intent, services.clock.trustedSeconds());
  if (!route.access.includes(caller.principal.kind)) {
    throw new TrustWardenError("principal_refused", {
      kind: caller.principal.kind,
      route: formatRoute(route),
    });
  }
  requireRole(route, caller);
  requireWithinLimits(services, visit, caller);
  await requireSeen(services, route, caller);
  return caller;
}

/** A stop waits for nothing that has to be read: a claim of who stops itself is found by an audit. */
async function requireSeen(
  { published }: Services,
  { isStopLane }: GuardedRoute,
  { intent, principal }: Caller,
): Promise<void> {
  if (intent !== null && !isStopLane && principal.kind === "agent")
    await published.requireSeen(intent.intent, principal);
}

/** @throws TrustWardenError `principal_refused` for a person without any of the row's roles. */
function requireRole(route: GuardedRoute, { principal }: Caller): void {
  if (principal.kind !== "person" || route.roles === undefined) return;
  if (principal.roles.some((role) => route.roles?.includes(role))) return;
  throw new TrustWardenError("principal_refused", {
    roles: principal.roles.join(" "),
    route: formatRoute(route),
  });
}

/** Stopping has no limit; neither has the report of what was done, since each decision allows one. */
function requireWithinLimits(
  { intake }: Services,
  { arrival, route }: { readonly arrival: Arrival; readonly route: GuardedRoute },
  { principal }: Caller,
): void {
  const isExempt = route.isStopLane || arrival.listener === "stop" || route.recording === "outcome";
  if (principal.kind === "agent" && !isExempt) intake.limits.take(principal);
}

function proveCaller(
  services: Services,
  { arrival, route }: { readonly arrival: Arrival; readonly route: GuardedRoute },
  evidence: Evidence,
): Caller | Promise<Caller> {
  if (route.dialect === "oauth") return authenticateClient(services, arrival, evidence);
  if (route.access.includes("enrollee")) return proveEnrollee(services, route.enrolment, arrival.body);
  if (arrival.listener === "console") return proveVisitor(services, { arrival, route });
  const ownerHeader = arrival.headers["trustwarden-owner"];
  if (ownerHeader !== undefined) return proveOwner(services, arrival, String(ownerHeader));
  if (arrival.listener === "admin") return { principal: { kind: "operator" }, intent: null };
  return provePeer(services, { arrival, route }, evidence);
}

function proveEnrollee(
  services: Services,
  enrolment: keyof Enrolments,
  body: unknown,
): Caller | Promise<Caller> {
  const now = services.clock.trustedSeconds();
  switch (enrolment) {
    case "document":
      return verifyEnrollee(services, instanceRequest.parse(body), now);
    case "node":
      return verifyJoiningNode(services, nodeRequest.parse(body), now);
    case "workload":
      return verifyAttestedWorkload(services, attestedInstanceRequest.parse(body), now);
    case "person":
      return proveComing(services, comingRequest.parse(body));
    case "asking":
      return verifyAsking(services, claimRequest.parse(body), now);
    case "collecting":
      return verifyCollecting(services, claimCollection.parse(body), now);
    case "subject":
      return proveSubjectComing(services, subjectComing.parse(body));
  }
}

/** Whoever comes by a browser has a session, or opens one; no other proof is looked at there. */
function proveVisitor(
  services: Services,
  { arrival, route }: { readonly arrival: Arrival; readonly route: GuardedRoute },
): Promise<Caller> {
  if (route.opens === "passkey") return proveLogin(services, loginRequest.parse(arrival.body));
  if (route.opens === "provider") return proveSubjectLogin(services, subjectLogin.parse(arrival.body));
  return provePerson(services, arrival, route);
}

async function proveOwner(services: Services, arrival: Arrival, header: string): Promise<Caller> {
  const { method, target, rawBody } = arrival;
  const principal = await services.ownerRequests.verify(header, {
    request: { method, target, body: rawBody },
    audience: services.serverSvid().spiffeId,
    now: services.clock.trustedSeconds(),
  });
  return { principal, intent: null };
}

function provePeer(
  services: Services,
  { arrival, route }: { readonly arrival: Arrival; readonly route: GuardedRoute },
  evidence: Evidence,
): Caller {
  const now = services.clock.trustedSeconds();
  const svid = verifyPeerSvid(services, arrival.socket, now);
  evidence.spiffeId = svid.id;
  const require = route.recording === "outcome" ? requireReportingPeer : requireLivePeer;
  const peer = require(services, svid, now);
  if (pathOf(svid.id).startsWith(VERIFIERS)) return { principal: verifierOf(peer), intent: null };
  if (pathOf(svid.id).startsWith(RELAYS)) return { principal: relayOf(peer, route), intent: null };
  if (pathOf(svid.id).startsWith(NODES)) return { principal: nodeOf(peer), intent: null };
  const principal = agentOf(peer);
  // The outcome in the body is itself signed by the agent; an intent to report would need a report of its own.
  if (route.recording === "outcome") return { principal, intent: null };
  const audience = services.serverSvid().spiffeId;
  const intent = verifyControlIntent(arrival, { peer, audience, now });
  const caller = { principal, intent };
  const { body, query, params, target } = arrival;
  requireIntentOf(intent, principal, {
    action: route.action({ arrival, caller, body, query, params }),
    resource: formatControlResource(services.trustDomain, target),
  });
  return caller;
}

/** @throws TrustWardenError `principal_refused` for any route but a relay's own. */
function relayOf(peer: LivePeer, route: GuardedRoute): VerifierPrincipal {
  if (!RELAY_PATHS.includes(route.path))
    throw new TrustWardenError("principal_refused", { kind: "relay", route: formatRoute(route) });
  return { ...verifierOf(peer), isRelay: true };
}
