/**
 * One event, proven on this side: every record of it is in the tree that the log signed, and every signature verifies
 * with an SVID that chains to the trust bundle. What the server says about the event besides its records is not used.
 *
 * Proves what the log says. That everybody is shown the same log takes witnesses, by a policy of this side.
 */
import type { FollowedKeys } from "@trustwarden/core/agentledger/followed-keys.ts";
import { verifyInclusion } from "@trustwarden/core/agentledger/inclusion-proof.ts";
import { leafHash } from "@trustwarden/core/agentledger/merkle.ts";
import type { TlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import type { EventAnswer, ShardHeadView } from "@trustwarden/core/api/ledger.ts";
import { encodeUtf8, parseBase64 } from "@trustwarden/core/bytes.ts";
import {
  type PayloadName,
  parseEnvelope,
  parseUnverifiedPayload,
  payloadTypeOf,
  verifyEnvelope,
} from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import {
  type ControlRecord,
  type DecisionRecord,
  type Intent,
  type OutcomeRecord,
  parseControlRecord,
  parseDecisionRecord,
  parseIntent,
  parseOutcomeRecord,
} from "@trustwarden/core/event.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import {
  type PresentedIntent,
  parsePresentedIntent,
  requirePossession,
} from "@trustwarden/core/presented-intent.ts";
import type { ProvenSvid, SvidFinder } from "./svid-finder.ts";
import { readWitnessStatus, type WitnessStatus } from "./witness-policy.ts";

/** A record with its place in the log and who proved to have signed it. */
interface Proven<R> {
  readonly index: number;
  readonly record: R;
  readonly signer: ProvenSvid;
}

/** Everything that the log holds about one event. */
export interface Evidence {
  readonly eventId: string;
  readonly intent: Proven<Intent> | undefined;
  /** What the agent presented instead of an intent, under the server's signature. */
  readonly presented: Proven<PresentedIntent> | undefined;
  readonly decision: Proven<DecisionRecord> | undefined;
  readonly outcome: Proven<OutcomeRecord> | undefined;
  readonly control: Proven<ControlRecord> | undefined;
  readonly proof: ProofStatus;
}

/** How far the proof reaches. */
export interface ProofStatus {
  readonly origin: string;
  readonly size: number;
  readonly indexes: readonly number[];
  readonly witnessed: WitnessStatus;
}

/** What all records have. */
interface AnyRecord {
  readonly event_id: string;
  readonly time: string;
}

/** How one type of record is read, and under which SPIFFE IDs its signer's SVID is looked for. */
interface RecordKind<R> {
  readonly name: PayloadName;
  readonly parse: (json: JsonObject) => R;
  readonly hints: (unverified: R) => readonly string[];
}

/**
 * Verifies the answer to `GET /v1/events/:event_id`.
 *
 * @param options.vkey - of the log, from a place other than the answer.
 * @param options.policy - whose cosignatures count; null for nobody's.
 * @throws TrustWardenError `checkpoint_untrusted`, `proof_invalid`, `signature_invalid`, `record_malformed`, the
 *   `svid_` codes, or `event_conflict` when a record belongs to another event.
 */
export async function verifyEvidence(
  answer: EventAnswer,
  {
    keys,
    svids,
    policy,
  }: { readonly keys: FollowedKeys; readonly svids: SvidFinder; readonly policy: TlogPolicy | null },
): Promise<Evidence> {
  const proof = await verifyPlaces(answer, { keys, policy });
  const prove = <R extends AnyRecord>(kind: RecordKind<R>): Promise<Proven<R> | undefined> =>
    proveRecord({ answer, kind, svids });
  const none = (): readonly string[] => [];
  const intent = await prove({ name: "intent", parse: parseIntent, hints: ({ agent }) => [agent.spiffe_id] });
  const presented = await prove({ name: "presented-intent", parse: parsePresentedIntent, hints: none });
  const asked = intent ?? presented;
  const enforcers = asked === undefined ? [] : [asked.record.aud, asked.record.agent.spiffe_id];
  const evidence: Evidence = {
    eventId: answer.event.event_id,
    intent,
    presented,
    decision: await prove({ name: "decision", parse: parseDecisionRecord, hints: none }),
    outcome: await prove({ name: "outcome", parse: parseOutcomeRecord, hints: () => enforcers }),
    control: await prove({ name: "control", parse: parseControlRecord, hints: none }),
    proof: { ...proof, indexes: answer.records.map((record) => record.index) },
  };
  requireSomething(evidence);
  requireRoles(evidence, svids.trustDomain);
  return evidence;
}

/**
 * The head that a record is proven under.
 *
 * @throws TrustWardenError `proof_invalid` for a record that lies before every shard.
 */
export function headOfRecord(
  answer: Pick<EventAnswer, "checkpoint" | "witnessed" | "shards">,
  index: number,
): ShardHeadView {
  const { checkpoint, witnessed, shards } = answer;
  const [origin = ""] = checkpoint.split("\n", 1);
  const head =
    shards.length === 0
      ? { origin, first: 0, checkpoint, witnessed }
      : shards.findLast(({ first }) => first <= index);
  if (head === undefined) throw new TrustWardenError("proof_invalid", { index });
  return head;
}

/** Every record is in the tree of its shard; the newest of them, and how far all are witnessed. */
async function verifyPlaces(
  answer: EventAnswer,
  { keys, policy }: { readonly keys: FollowedKeys; readonly policy: TlogPolicy | null },
): Promise<Omit<ProofStatus, "indexes">> {
  let newest: Omit<ProofStatus, "indexes"> | undefined;
  for (const { index, entry, inclusion_proof } of answer.records) {
    const { first, checkpoint, witnessed: isClaimed } = headOfRecord(answer, index);
    const { origin, size, root } = await keys.verifyCheckpoint(checkpoint);
    const leaf = leafHash(encodeUtf8(entry));
    verifyInclusion({ index: index - first, size, leaf, proof: inclusion_proof.map(parseBase64), root });
    const { vkey } = keys;
    const witnessed = await keys.withKeyOf(checkpoint, ({ vkey: key }) =>
      readWitnessStatus(checkpoint, { policy, vkey, key, isClaimed }),
    );
    // What one record is not, the event is not.
    const worst = newest === undefined || newest.witnessed.kind === "proven" ? witnessed : newest.witnessed;
    newest = { origin, size, witnessed: worst };
  }
  if (newest === undefined) throw new TrustWardenError("proof_invalid", { why: "no records" });
  return newest;
}

/** The record of one kind, its signature checked with the SVID that its keyid names, as of its own time. */
async function proveRecord<R extends AnyRecord>({
  answer,
  kind: { name, parse, hints },
  svids,
}: {
  readonly answer: EventAnswer;
  readonly kind: RecordKind<R>;
  readonly svids: SvidFinder;
}): Promise<Proven<R> | undefined> {
  for (const { index, entry } of answer.records) {
    const envelope = parseEnvelope(entry);
    if (envelope.payloadType !== payloadTypeOf(name)) continue;
    const unverified = parse(parseUnverifiedPayload(envelope));
    const at = Math.floor(Date.parse(unverified.time) / 1000);
    const signer = await svids.find({ sha256: envelope.unverifiedKeyid, hints: hints(unverified), at });
    const record = parse(verifyEnvelope(envelope, name, signer.publicKey));
    if (record.event_id !== answer.event.event_id) throw new TrustWardenError("event_conflict", { index });
    return { index, record, signer };
  }
  return undefined;
}

function requireSomething({ eventId, intent, presented, control }: Evidence): void {
  if (intent === undefined && presented === undefined && control === undefined) {
    throw new TrustWardenError("not_found", { why: `the ledger has no record of ${eventId}` });
  }
}

/**
 * Each record must be signed by who may sign it: the intent by the agent it names, decisions and control records by a
 * server, the outcome by the enforcement point that the intent named.
 */
function requireRoles(
  { intent, presented, decision, outcome, control }: Evidence,
  trustDomain: string,
): void {
  if (presented !== undefined) requirePossession(presented.record);
  if (intent !== undefined && intent.signer.spiffeId !== intent.record.agent.spiffe_id) {
    throw new TrustWardenError("svid_mismatch", { why: "the intent is signed by another agent" });
  }
  for (const record of [presented, decision, control]) {
    if (record !== undefined && !isServer(record.signer.spiffeId, trustDomain)) {
      throw new TrustWardenError("svid_mismatch", {
        why: "a decision or control record is not signed by a server",
      });
    }
  }
  const asked = (intent ?? presented)?.record;
  const enforcers = [asked?.aud, asked?.agent.spiffe_id];
  if (outcome !== undefined && !enforcers.includes(outcome.signer.spiffeId)) {
    throw new TrustWardenError("svid_mismatch", {
      why: "the outcome is not signed by the enforcement point",
    });
  }
}

/** A server of this deployment; one of a federated trust domain decides nothing here. */
function isServer(spiffeId: string, trustDomain: string): boolean {
  const prefix = `spiffe://${trustDomain}/trustwarden/server/`;
  return spiffeId.startsWith(prefix) && /^[^/]+$/.test(spiffeId.slice(prefix.length));
}
