/** WIT-SVIDs: tokens for a key of which the caller has proven possession. Each is one command, whose event commits with it. */
import { parseUnverifiedEnrolmentDigest, verifyPossession } from "@trustwarden/core/agentid/possession.ts";
import type { WitSvidAnswer, WitSvidRequest } from "@trustwarden/core/api/identity.ts";
import type { NodeWitRequest } from "@trustwarden/core/api/registration.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Committed } from "../../store/ports.ts";
import type { ProvenKey } from "../../store/registration-ports.ts";
import type { IssuedWit } from "../../store/wit-ports.ts";
import { instanceOf, nodeOf } from "../caller.ts";
import { contextOf } from "../command-context.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";
import { spendNonce } from "../used-once.ts";

/** A WIT-SVID of the calling instance or its class. @throws TrustWardenError `wit_disabled` and the codes of the command. */
export async function issueWit(services: Services, visit: Visit<WitSvidRequest>): Promise<WitSvidAnswer> {
  requireServed(services);
  const { instanceId, svidSha256 } = instanceOf(visit.caller);
  const key = await proveKey(services, visit.body, svidSha256);
  const { statusLists } = services.lists;
  const { identity } = visit.body;
  const command = { context: contextOf(services, visit), instanceId, identity, svidSha256, key, statusLists };
  return settleWit(services, await services.commands.issueWit(command));
}

/** A WIT-SVID of an instance of the calling node, or of its class. */
export async function issueWitForNode(
  services: Services,
  visit: Visit<NodeWitRequest>,
): Promise<WitSvidAnswer> {
  requireServed(services);
  const { instance_id: instanceId, identity } = visit.body;
  // The proof names an SVID; whether that is a live one of this instance, the transaction decides.
  const svidSha256 = parseUnverifiedEnrolmentDigest(visit.body.possession);
  const key = await proveKey(services, visit.body, svidSha256);
  const { instanceId: nodeInstanceId, svidSha256: nodeSvidSha256 } = nodeOf(visit.caller);
  const { statusLists } = services.lists;
  const context = contextOf(services, visit);
  const node = { nodeInstanceId, nodeSvidSha256 };
  const command = { context, ...node, instanceId, identity, svidSha256, key, statusLists };
  return settleWit(services, await services.commands.issueWitByNode(command));
}

/** A key that signed for one WIT-SVID before it was switched off signs no more. */
function requireServed({ witSvid }: Services): void {
  if (!witSvid) throw new TrustWardenError("wit_disabled");
}

/** The caller's key, proven for an SVID under a nonce, which is spent. */
async function proveKey(
  services: Services,
  body: Pick<WitSvidRequest, "spki" | "possession">,
  svidSha256: string,
): Promise<ProvenKey> {
  const spki = parseBase64url(body.spki);
  const { possession } = body;
  const { nonce } = verifyPossession({ envelope: possession, spki, enrolmentSha256: svidSha256 });
  await spendNonce(services, nonce, services.clock.trustedSeconds());
  return { spki, possession };
}

/** The token leaves only after its event is durable in the ledger. */
async function settleWit(services: Services, committed: Committed<IssuedWit>): Promise<WitSvidAnswer> {
  await services.ledger.settle(committed);
  const { svid, expiresAt, spiffeId } = committed.value;
  return { svid, expires_at: expiresAt, spiffe_id: spiffeId };
}
