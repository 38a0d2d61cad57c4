/**
 * Agents of federated trust domains: which instance a foreign SVID is, and taking note of an SVID seen for the first
 * time.
 *
 * The chain is proven against its own trust domain's bundle before anybody comes here. An SVID that nobody registered
 * is refused; one that is registered is committed with its certificates before its holder does anything, so that the
 * ledger can be checked offline.
 */
import { trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { X509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import type { DecisionRequest } from "@trustwarden/core/api/action.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import { parseEnvelope, verifyEnvelope } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Arrival } from "./arrival.ts";
import { requireLiveChain } from "./peer.ts";
import { peerChainOf } from "./peer-chain.ts";
import type { Services } from "./services.ts";

type ForeignServices = Pick<
  Services,
  "trustDomain" | "reads" | "commands" | "ledger" | "clock" | "chains" | "federation"
>;

/** SVIDs on their way into the store, so that two requests of one connection commit one event. */
const admissions = new Map<string, Promise<void>>();

/**
 * Takes note of the SVID of a socket's peer, when that is a foreign agent's; whoever else it is, is not asked here.
 *
 * @throws TrustWardenError `foreign_agent_unknown`, `identity_revoked`, `identity_expired`, `quota_exceeded`,
 *   `key_reused`, `entry_too_large`.
 */
export async function admitForeignPeer(services: ForeignServices, arrival: Arrival): Promise<void> {
  if (!services.federation.bundles.isFederated) return;
  const svid = foreignSvidOf(services, () => peerChainOf(arrival.socket));
  if (svid !== undefined) await admitForeignSvid(services, svid, arrival.peer);
}

/**
 * As `admitForeignPeer`, for the agent whose intent and certificates are in the body: certificates are no secret, so
 * they count only beside an intent that their key signed.
 *
 * @throws TrustWardenError as `admitForeignPeer`, and `signature_invalid`.
 */
export async function admitForeignVisitor(
  services: ForeignServices,
  arrival: Arrival,
  { intent, svid_chain }: DecisionRequest,
): Promise<void> {
  if (!services.federation.bundles.isFederated) return;
  const svid = foreignSvidOf(services, () => svid_chain.map(parseBase64url));
  if (svid === undefined) return;
  verifyEnvelope(parseEnvelope(intent), "intent", svid.leaf.publicKey);
  await admitForeignSvid(services, svid, arrival.peer);
}

/** The proven SVID, when it is of another trust domain; whatever is wrong with a chain is said by who asks for it. */
function foreignSvidOf(
  { chains, trustDomain, clock }: ForeignServices,
  chain: () => readonly Uint8Array[],
): X509Svid | undefined {
  try {
    const svid = chains.verify(chain(), clock.trustedSeconds());
    return trustDomainOf(svid.id) === trustDomain ? undefined : svid;
  } catch (error) {
    // Safe to go on: nobody is admitted, and authentication makes the same checks and refuses.
    if (error instanceof TrustWardenError) return undefined;
    throw error;
  }
}

async function admitForeignSvid(services: ForeignServices, svid: X509Svid, peer: string): Promise<void> {
  const instanceId = requireRegistered(services.reads, svid.id);
  requireLiveChain(services.reads, instanceId, services.clock.trustedSeconds());
  const { sha256 } = svid.leaf;
  if (services.reads.findSvid(sha256)?.instanceId === instanceId) return;
  const admission = admissions.get(sha256) ?? admit(services, svid, { instanceId, peer });
  admissions.set(sha256, admission);
  try {
    await admission;
  } finally {
    admissions.delete(sha256);
  }
}

function requireRegistered(reads: Services["reads"], spiffeId: string): string {
  const instanceId = reads.findForeignInstance(spiffeId);
  if (instanceId === undefined) throw new TrustWardenError("foreign_agent_unknown", { spiffe_id: spiffeId });
  return instanceId;
}

async function admit(
  { commands, ledger, clock }: ForeignServices,
  { id, leaf, chain }: X509Svid,
  { instanceId, peer }: { readonly instanceId: string; readonly peer: string },
): Promise<void> {
  const committed = await commands.admitSvid({
    context: { nowMs: clock.nowMs(), principal: id, peer, intent: null },
    instanceId,
    spiffeId: id,
    svidSha256: leaf.sha256,
    serial: leaf.serialHex,
    spki: leaf.spki,
    notAfter: leaf.notAfter,
    chain: chain.map(({ der }) => der),
  });
  await ledger.settle(committed);
}
