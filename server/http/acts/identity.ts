/**
 * Enrolment, renewal and JWT-SVIDs: each is one command, whose event commits with it.
 */
import { verifyPossession } from "@trustwarden/core/agentid/possession.ts";
import type {
  IdentityAnswer,
  InstanceRequest,
  JwtSvidAnswer,
  JwtSvidRequest,
  RenewRequest,
} from "@trustwarden/core/api/identity.ts";
import { encodeBase64url, parseBase64url } from "@trustwarden/core/bytes.ts";
import type { Appended } from "../../ledger/ledger.ts";
import type { Committed, IssuedIdentity } from "../../store/ports.ts";
import { enrolmentOf, instanceOf } from "../caller.ts";
import { verifyClassKey } from "../class-key.ts";
import { contextOf } from "../command-context.ts";
import { digestOrNull } from "../composition-request.ts";
import type { HeadedAnswer, Visit } from "../route.ts";
import type { Services } from "../services.ts";
import { spendNonce } from "../used-once.ts";

/** A new instance for an enrollee. @throws TrustWardenError the codes of `issue`. */
export async function enrol(services: Services, visit: Visit<InstanceRequest>): Promise<HeadedAnswer> {
  const context = contextOf(services, visit);
  const committed = await services.commands.issue({ context, ...enrolmentOf(visit.caller, "document") });
  return withNextNonce(services, await settleIdentity(services, committed));
}

/** A further SVID for a live instance, for a new key. @throws TrustWardenError the codes of `renew`. */
export async function renew(services: Services, visit: Visit<RenewRequest>): Promise<IdentityAnswer> {
  const { instanceId, svidSha256 } = instanceOf(visit.caller);
  const spki = parseBase64url(visit.body.spki);
  const { possession } = visit.body;
  // For a renewal the proof names the SVID that it follows.
  const proof = verifyPossession({ envelope: possession, spki, enrolmentSha256: svidSha256 });
  await spendNonce(services, proof.nonce, services.clock.trustedSeconds());
  const context = contextOf(services, visit);
  const { thumbprint, nonce } = proof;
  return settleIdentity(
    services,
    await services.commands.renew({
      context,
      instanceId,
      svidSha256,
      spki,
      thumbprint,
      possession,
      classKey: verifyClassKey(visit.body.class, { enrolmentSha256: svidSha256, nonce }),
      compositionSha256: digestOrNull(visit.body.composition),
    }),
  );
}

/** A JWT-SVID of the calling instance or its class, for one audience. */
export async function issueJwt(services: Services, visit: Visit<JwtSvidRequest>): Promise<JwtSvidAnswer> {
  const { instanceId } = instanceOf(visit.caller);
  const context = contextOf(services, visit);
  const { statusLists } = services.lists;
  const committed = await services.commands.issueJwt({ context, instanceId, ...visit.body, statusLists });
  await services.ledger.settle(committed);
  return { svid: committed.value.svid, expires_at: committed.value.expiresAt };
}

/** The certificate leaves only after its event is durable in the ledger. */
export async function settleIdentity(
  services: Services,
  committed: Committed<IssuedIdentity>,
): Promise<IdentityAnswer> {
  const appended = await services.ledger.settle(committed);
  return { ...formatIdentity(committed.value, appended), acknowledgement: appended.acknowledgement };
}

/** `settleIdentity` for whoever keeps no promise of the event's place. */
export async function settleWithoutPromise(
  services: Services,
  committed: Committed<IssuedIdentity>,
): Promise<Omit<IdentityAnswer, "acknowledgement">> {
  return formatIdentity(committed.value, await services.ledger.settle(committed));
}

/**
 * An answer with the nonce of a next proof, since whoever was issued something is often issued more: this spares a request
 * for each. By the plain clock, since nothing may fail any more.
 */
export function withNextNonce<Body>({ nonces, clock }: Services, body: Body): HeadedAnswer {
  const { nonce } = nonces.issue(Math.floor(clock.nowMs() / 1000));
  return { isHeaded: true, headers: { "trustwarden-nonce": nonce }, body };
}

function formatIdentity(
  identity: IssuedIdentity,
  { eventId }: Pick<Appended, "eventId">,
): Omit<IdentityAnswer, "acknowledgement"> {
  const { depth, fanOut, budget } = identity.limits;
  return {
    spiffe_id: identity.spiffeId,
    agent_id: identity.agentId,
    instance_id: identity.instanceId,
    owner_id: identity.ownerId,
    name: identity.name,
    path: identity.path,
    scope: [...identity.scope],
    limits: { depth, fan_out: fanOut, budget },
    chain: [...identity.chain],
    svid_chain: identity.svidChain.map(encodeBase64url),
    class_svid_chain: identity.classSvidChain?.map(encodeBase64url) ?? null,
    svid_expires_at: identity.svidExpiresAt,
    instance_expires_at: identity.instanceExpiresAt,
    ttl_shortened: identity.ttlShortened,
    event_id: eventId,
  };
}
