/**
 * Fetching one event together with what its proof needs: the log's key and the trust bundle.
 */
import { parseBundleMap } from "@trustwarden/core/agentid/bundle-map.ts";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { FollowedKeys } from "@trustwarden/core/agentledger/followed-keys.ts";
import { isSaidByEntries } from "@trustwarden/core/agentledger/rejoin.ts";
import type { TlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import {
  discovery,
  type EventAnswer,
  type EventPage,
  eventAnswer,
  shardList,
} from "@trustwarden/core/api/ledger.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
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
  /**
   * Proves every event of a page that came with its records.
   *
   * @throws TrustWardenError as `verifyEvidence`; `ledger_index_mismatch` when an event says what its records do not,
   *   `proof_invalid` for a page without records.
   */
  provePage(page: EventPage): Promise<PageProof>;
}

/** What was checked of a page. Nothing shows that no other event matches. */
export interface PageProof {
  readonly origin: string;
  readonly size: number;
  readonly events: number;
  readonly records: number;
  readonly witnessed: ProofStatus["witnessed"];
}

/** @param policy - whose cosignatures count; null for nobody's. */
export async function createEventProver(client: Client, policy: TlogPolicy | null): Promise<EventProver> {
  const found = await client.get("/.well-known/trustwarden", discovery);
  const { trust_domain, log_vkey: vkey, server_id: serverId } = found;
  const keys = new FollowedKeys(vkey, async () => (await client.get("/ledger/shards", shardList)).shards);
  const parsed = parseTrustBundle(await client.getText("/v1/bundle"), parseTrustDomain(trust_domain));
  // An intermediate that was revoked since was good when its records were logged: their place in the log says when.
  const own = { ...parsed, revokedAuthorities: new Set<string>() };
  const federated = parseBundleMap(await client.getText("/v1/bundles"));
  const bundles = new Map([...federated, [own.trustDomain, own]]);
  const svids = new SvidFinder({ client, bundles, serverId });
  const verify = (answer: EventAnswer): Promise<Evidence> => verifyEvidence(answer, { keys, svids, policy });
  return {
    svids,
    prove: async (eventId) => {
      const answer = await client.get(`/v1/events/${encodeURIComponent(eventId)}`, eventAnswer);
      return { answer, evidence: await verify(answer) };
    },
    provePage: (page) => verifyPage(page, verify),
  };
}

async function verifyPage(
  { events, proof }: EventPage,
  verify: (answer: EventAnswer) => Promise<Evidence>,
): Promise<PageProof> {
  if (proof === undefined && events.length > 0)
    throw new TrustWardenError("proof_invalid", { why: "no records" });
  const { records = [], ...head } = proof ?? { checkpoint: "", witnessed: false, shards: [] };
  const entries = new Map(records.map(({ index, entry }) => [index, encodeUtf8(entry)]));
  let last: ProofStatus | null = null;
  for (const event of events) {
    const own = records.filter(({ index }) => event.indexes.includes(index));
    last = (await verify({ event, records: own, ...head })).proof;
    if (!isSaidByEntries(event, entries))
      throw new TrustWardenError("ledger_index_mismatch", { event_id: event.event_id });
  }
  const { origin = "", size = 0, witnessed = { kind: "unchecked", isClaimed: false } } = last ?? {};
  return { origin, size, events: events.length, records: records.length, witnessed };
}

/** How far a page's proofs reach, and where they end. */
export function formatPageProof({ origin, size, events, records, witnessed }: PageProof): string {
  if (events === 0) return "Proof: nothing to prove; that nothing matches is what the server says.";
  return `Proof: verified here. ${records} records of ${events} events are among the ${size} of ${origin}, with every signature; that no other event matches is what the server says; ${formatWitnessStatus(witnessed)}.`;
}

/** What the proof shows and where it ends, in one honest sentence. */
export function formatProof({ origin, size, indexes, witnessed }: ProofStatus): string {
  const entries = `${indexes.length === 1 ? "entry" : "entries"} ${indexes.join(", ")}`;
  const witness = formatWitnessStatus(witnessed);
  return `Proof: verified here. ${entries} of ${size} in ${origin}, with every signature; ${witness}.`;
}
