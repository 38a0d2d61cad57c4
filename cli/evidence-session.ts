/**
 * Fetching one event together with what its proof needs: the log's key and the trust bundle.
 */
import { parseBundleMap } from "@trustwarden/core/agentid/bundle-map.ts";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import type { TlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import { discovery, type EventAnswer, eventAnswer } from "@trustwarden/core/api/ledger.ts";
import type { Client } from "./client.ts";
import { type Evidence, type ProofStatus, verifyEvidence } from "./evidence.ts";
import { SvidFinder } from "./svid-finder.ts";
import { formatWitnessStatus } from "./witness-policy.ts";

/** An event as served, and as proven; and the finder, warm, for related events. */
interface ProvenEvent {
  readonly answer: EventAnswer;
  readonly evidence: Evidence;
}

/** Proves events of one server; made once a command. */
export interface EventProver {
  /** Knows the SVIDs that the proofs so far have used. */
  readonly svids: SvidFinder;
  prove(eventId: string): Promise<ProvenEvent>;
}

/** @param policy - whose cosignatures count; null for nobody's. */
export async function createEventProver(client: Client, policy: TlogPolicy | null): Promise<EventProver> {
  const found = await client.get("/.well-known/trustwarden", discovery);
  const { trust_domain, log_vkey: vkey, server_id: serverId } = found;
  const parsed = parseTrustBundle(await client.getText("/v1/bundle"), parseTrustDomain(trust_domain));
  // An intermediate that was revoked since was good when its records were logged: their place in the log says when.
  const own = { ...parsed, revokedAuthorities: new Set<string>() };
  const federated = parseBundleMap(await client.getText("/v1/bundles"));
  const bundles = new Map([...federated, [own.trustDomain, own]]);
  const svids = new SvidFinder({ client, bundles, serverId });
  return {
    svids,
    prove: async (eventId) => {
      const answer = await client.get(`/v1/events/${encodeURIComponent(eventId)}`, eventAnswer);
      return { answer, evidence: await verifyEvidence(answer, { vkey, svids, policy }) };
    },
  };
}

/** What the proof shows and where it ends, in one honest sentence. */
export function formatProof({ origin, size, indexes, witnessed }: ProofStatus): string {
  const entries = `${indexes.length === 1 ? "entry" : "entries"} ${indexes.join(", ")}`;
  const witness = formatWitnessStatus(witnessed);
  return `Proof: verified here. ${entries} of ${size} in ${origin}, with every signature; ${witness}.`;
}
