/**
 * Which entries of the log belong into an evidence bundle: the events that were asked for, and what their verdicts rest
 * on (certificates, issuances up to the owner, revocations, transfers, approvals, tokens, policies, rotations of the
 * authority).
 *
 * The index finds; it is never trusted. What it did not find is missing from the bundle, and then the bundle does not
 * verify, here or anywhere.
 */
import type { JoinedEvent } from "@trustwarden/core/agentledger/join.ts";
import type { EventFilter, EventPage, EventPageRequest } from "@trustwarden/core/agentledger/query-index.ts";
import { parseRecord, type UnverifiedRecord } from "@trustwarden/core/agentledger/record.ts";
import { isShardMark } from "@trustwarden/core/agentledger/shard.ts";
import { parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { ControlKind, ControlRecord, DecisionRecord } from "@trustwarden/core/event.ts";
import { isJsonObject } from "@trustwarden/core/json.ts";

/** An evidence bundle is for people; more events are a whole log. */
const MAX_EVENTS = 5000;
const PAGE = 500;

/** What collecting reads. */
export interface EvidenceSource {
  search(filter: EventFilter, page: EventPageRequest): Promise<EventPage>;
  readEntry(index: number): Promise<Uint8Array>;
}

/** A record on which a verdict rests, by what the index calls it. */
export interface Need {
  readonly kind?: ControlKind;
  /** Name that the record is about; every record of the kind without one. */
  readonly about?: string;
}

/**
 * All events that match, oldest first.
 *
 * @throws TrustWardenError `evidence_bundle_too_large`, and the codes of searching.
 */
export async function collectEvents(
  source: EvidenceSource,
  filter: EventFilter,
): Promise<readonly JoinedEvent[]> {
  const events: JoinedEvent[] = [];
  let cursor: string | undefined;
  do {
    const page: EventPage = await source.search(filter, { limit: PAGE, cursor });
    events.push(...page.events);
    if (events.length > MAX_EVENTS)
      throw new TrustWardenError("evidence_bundle_too_large", { events: MAX_EVENTS });
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  return events.reverse();
}

/**
 * The entries at some indexes and everything that their verdicts rest on, by index.
 *
 * @param also - records that must be there in any case, such as those of the SVID that signs the bundle.
 */
export async function collectEntries(
  source: EvidenceSource,
  indexes: Iterable<number>,
  also: readonly Need[],
): Promise<ReadonlyMap<number, Uint8Array>> {
  const entries = new Map<number, Uint8Array>();
  const asked = new Set<string>();
  const waiting: Need[] = [{ kind: "authority" }, ...also];
  const take = async (index: number): Promise<void> => {
    if (entries.has(index)) return;
    const entry = await source.readEntry(index);
    entries.set(index, entry);
    if (!isShardMark(entry)) waiting.push(...needsOf(parseRecord(entry)));
  };
  for (const index of indexes) await take(index);
  for (let need = waiting.pop(); need !== undefined; need = waiting.pop()) {
    const key = `${need.kind ?? "*"} ${need.about ?? "*"}`;
    if (asked.has(key)) continue;
    asked.add(key);
    const found = await collectEvents(source, { kind: need.kind, agent: need.about });
    for (const index of found.flatMap((event) => event.indexes)) await take(index);
  }
  return entries;
}

function needsOf({ unverified, envelope }: UnverifiedRecord): readonly Need[] {
  const signer: Need = { about: envelope.unverifiedKeyid };
  switch (unverified.kind) {
    case "intent":
      return [signer, ...needsOfInstance(unverified.value.agent.spiffe_id)];
    case "presented-intent": {
      const { agent, token, wit_key: witKey } = unverified.value;
      const kind = witKey === undefined ? "token" : "wit";
      return [signer, ...needsOfInstance(agent.spiffe_id), ...needsOfToken(kind, token.jti, agent.spiffe_id)];
    }
    case "decision":
      return [signer, ...needsOfChain(unverified.value.chain), ...needsOfDecision(unverified.value)];
    case "outcome":
      return [signer];
    case "control":
      return [signer, ...needsOfChain(unverified.value.chain), ...needsOfControl(unverified.value)];
  }
}

function needsOfInstance(spiffeId: string): readonly Need[] {
  return (["issue", "narrow", "revoke"] as const).map((kind) => ({ kind, about: spiffeId }));
}

/** A token's issuance is found by its client, which need not be its subject; its revocation by the token's own name. */
function needsOfToken(kind: "token" | "wit", jti: string, client: string): readonly Need[] {
  return [jti, client, client.split("/").at(-1) ?? client].map((about) => ({ kind, about }));
}

function needsOfChain(chain: readonly string[]): readonly Need[] {
  return chain.flatMap((link): readonly Need[] => {
    const name = link.replace(/^owner:/, "");
    const revoked: Need = { kind: "revoke", about: name };
    return name === link
      ? [revoked, { kind: "transfer", about: name }]
      : [revoked, { kind: "owner", about: name }, { kind: "person", about: name }];
  });
}

function needsOfDecision({ approval, policy }: DecisionRecord): readonly Need[] {
  const loaded: Need = { kind: "policy", about: policy.name };
  return approval === null ? [loaded] : [loaded, { kind: "approval", about: approval.id }];
}

/** An instance rests on whoever let it be: its parent, its entry with the node, or a registration from elsewhere. */
function needsOfControl({ kind, allow, subject, details }: ControlRecord): readonly Need[] {
  if (kind === "transfer" && typeof details.owner === "string")
    return needsOfChain([`owner:${details.owner}`]);
  if (kind === "confirmation" && subject !== null) return needsOfConfirmation(subject, details);
  if (kind !== "issue" || !allow || subject === null) return [];
  const needs: Need[] = [{ kind: "revoke", about: subject }];
  const { enrolment, entry_id: entryId, attested, via } = details;
  if (typeof enrolment === "string") {
    const { parent, svid_sha256: svid } = parseUnverifiedPayload(parseEnvelope(enrolment));
    if (typeof parent === "string") needs.push(...needsOfInstance(parent));
    if (typeof svid === "string") needs.push({ about: svid });
  }
  if (typeof entryId === "string") needs.push({ kind: "entry", about: entryId });
  if (isJsonObject(attested) && typeof attested.node === "string")
    needs.push({ kind: "node", about: attested.node });
  if (via === "foreign") needs.push({ kind: "federation" });
  return needs;
}

/** What was asked, who confirmed it, and by which passkey of that person, who may be known as an owner. */
function needsOfConfirmation(
  id: string,
  { answered_by: person, owner }: ControlRecord["details"],
): readonly Need[] {
  const needs: Need[] = [{ kind: "confirmation", about: id }];
  if (typeof person === "string") needs.push({ kind: "person", about: person });
  if (typeof owner === "string") needs.push({ kind: "owner", about: owner });
  return needs;
}
