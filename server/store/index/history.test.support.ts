/**
 * Made-up histories of a log, for searching: many agents in chains, jobs, policies, refusals, late outcomes and control
 * events, all from one seed. Their records say what real ones do; nobody signed them.
 */
import { createHash } from "node:crypto";
import type { UnverifiedRecord } from "@trustwarden/core/agentledger/record.ts";
import type { ControlRecord, DecisionRecord, Intent, OutcomeRecord } from "@trustwarden/core/event.ts";

/** How large the world is that a history happens in. */
export interface HistoryShape {
  readonly owners: number;
  readonly agents: number;
  readonly actions: number;
  readonly resources: number;
  readonly policies: number;
  /** Actions of a job. */
  readonly jobLength: number;
}

/** Instant of the first event, Unix milliseconds. */
export const HISTORY_START_MS = 1_795_000_000_000;
/** Events are a quarter of a second apart, give or take ten seconds. */
export const STEP_MS = 250;
const JITTER_MS = 20_000;
/** Outcomes wait at most this many events. */
const MAX_DELAY = 40;

const DIGEST = createHash("sha256").update("history").digest();
const DIGEST_TEXT = DIGEST.toString("base64url");

/** A small, fast generator with a good spread (xorshift32). @param seed - not 0. */
export function createDice(seed: number): (sides: number) => number {
  let state = seed | 0 || 1;
  return (sides) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % sides;
  };
}

/** Agents below agent 0, in two generations; those with higher numbers stand directly below their owners. */
export const DESCENDANTS = 10_009;

/** Number of the agent above another. */
function parentOf(agent: number): number | null {
  if (agent === 0 || agent > DESCENDANTS) return null;
  return agent % 10 === 0 || agent < 10 ? 0 : agent - (agent % 10);
}

export function agentName(agent: number): string {
  return `agt_${String(agent).padStart(8, "0")}`;
}

export function ownerName(owner: number): string {
  return `own_${String(owner).padStart(4, "0")}`;
}

/** Of a policy's bundle. */
export function policyDigest(policy: number): string {
  return digestOf(`policy ${policy}`);
}

/** Yields records in the order of a log, an array for each action or control event, for ever. */
export function* inventHistory(shape: HistoryShape, seed: number): Generator<readonly UnverifiedRecord[]> {
  const roll = createDice(seed);
  const waiting: Waiting[] = [];
  for (let number = 0; ; number += 1) {
    const late = takeDue(waiting, number);
    const moment = { number, roll };
    yield [
      ...late,
      ...(roll(50) === 0 ? [inventControl(shape, moment)] : inventRecords(shape, moment, waiting)),
    ];
  }
}

/** An outcome that comes later. */
interface Waiting {
  readonly due: number;
  readonly record: UnverifiedRecord;
}

function takeDue(waiting: Waiting[], number: number): readonly UnverifiedRecord[] {
  const due: UnverifiedRecord[] = [];
  for (let [first] = waiting; first !== undefined && first.due <= number; [first] = waiting) {
    due.push(first.record);
    waiting.shift();
  }
  return due;
}

/** Some outcomes come at once, some late, and some never. */
function inventRecords(shape: HistoryShape, moment: Moment, waiting: Waiting[]): readonly UnverifiedRecord[] {
  const { number, roll } = moment;
  const { intent, decision, outcome } = inventAction(shape, moment);
  if (outcome === null) return [intent, decision];
  if (roll(3) > 0) return roll(20) > 0 ? [intent, decision, outcome] : [intent, decision];
  waiting.push({ due: number + roll(MAX_DELAY), record: outcome });
  return [intent, decision];
}

interface Moment {
  readonly number: number;
  readonly roll: (sides: number) => number;
}

function chainOf(owners: number, agent: number): readonly string[] {
  const above: string[] = [];
  for (let at: number | null = agent; at !== null; at = parentOf(at)) above.unshift(agentName(at));
  return [`owner:${ownerName(agent % owners)}`, ...above];
}

function timeOf({ number, roll }: Moment): string {
  return new Date(HISTORY_START_MS + number * STEP_MS + roll(JITTER_MS)).toISOString();
}

function eventIdOf(number: number): string {
  const hex = number.toString(16).padStart(12, "0");
  return `0199${hex.slice(0, 4)}-${hex.slice(4, 8)}-7${hex.slice(8, 11)}-8000-${hex.padStart(12, "0")}`;
}

/** The id of an event as the index keeps it. */
export function encodeEventId(number: number): Uint8Array {
  return Buffer.from(eventIdOf(number).replaceAll("-", ""), "hex");
}

function inventAction(shape: HistoryShape, { number, roll }: Moment) {
  // Few agents do much, and many little.
  const agent = roll(4) === 0 ? roll(Math.min(shape.agents, 10)) : roll(shape.agents);
  const event_id = eventIdOf(number);
  const time = timeOf({ number, roll });
  const spiffe = `spiffe://acme.test/team/t${agent % 40}/${agentName(agent)}/inst-${agent}`;
  const action = roll(3) === 0 ? 0 : roll(shape.actions);
  const intentValue: Intent = {
    v: 1,
    event_id,
    agent: { id: agentName(agent), spiffe_id: spiffe, svid_sha256: DIGEST_TEXT },
    action: `write:a${action}`,
    resource: `postgres://db/${roll(shape.resources)}`,
    request: DIGEST_TEXT,
    params: null,
    aud: "spiffe://acme.test/service/bank",
    job: roll(5) === 0 ? null : `job-${Math.floor(number / shape.jobLength)}-${agent % 7}`,
    time,
    exp: Math.floor(Date.parse(time) / 1000) + 30,
    seq: number,
    prev: null,
    seen: null,
  };
  const intent = recordOf({ kind: "intent", value: intentValue }, `intent ${number}`);
  const allow = roll(12) > 0;
  const policy = roll(shape.policies);
  const decisionValue: DecisionRecord = {
    v: 1,
    event_id,
    intent_sha256: intent.entrySha256,
    allow,
    reasons: allow ? [] : [["scope", "policy", "budget"][roll(3)] ?? "scope"],
    class: "B",
    chain: chainOf(shape.owners, agent),
    policy: { name: "prod", bundle_sha256: policyDigest(policy) },
    approval: null,
    from: { peer: "127.0.0.1" },
    custody: "agent",
    attested: { type: "none", strength: "none", composition_sha256: null },
    enforcement: "service",
    lease_epoch: 7,
    time,
  };
  const decision = recordOf({ kind: "decision", value: decisionValue }, `decision ${number}`);
  const outcomeValue: OutcomeRecord = {
    v: 1,
    event_id,
    intent_sha256: intent.entrySha256,
    decision_index: 0,
    status: roll(15) === 0 ? "failure" : "success",
    result: null,
    bytes: 12,
    duration_ms: 3,
    time,
  };
  const outcome = allow ? recordOf({ kind: "outcome", value: outcomeValue }, `outcome ${number}`) : null;
  return { intent, decision, outcome };
}

function inventControl(shape: HistoryShape, { number, roll }: Moment): UnverifiedRecord {
  const agent = roll(shape.agents);
  const value: ControlRecord = {
    v: 1,
    event_id: eventIdOf(number),
    kind: (["issue", "renew", "revoke", "refuse"] as const)[roll(4)] ?? "issue",
    allow: roll(10) > 0,
    reasons: [],
    principal: "operator",
    subject: `spiffe://acme.test/team/t${agent % 40}/${agentName(agent)}/inst-${agent}`,
    chain: chainOf(shape.owners, agent),
    intent_sha256: null,
    epoch: 1,
    from: { peer: "admin" },
    details: { agent_id: agentName(agent) },
    time: timeOf({ number, roll }),
  };
  return recordOf({ kind: "control", value }, `control ${number}`);
}

function recordOf(unverified: UnverifiedRecord["unverified"], name: string): UnverifiedRecord {
  return {
    unverified,
    envelope: {
      payloadType: "application/vnd.trustwarden.made-up.v1+json",
      payload: DIGEST,
      signature: SIGNATURE,
      assertion: null,
      unverifiedKeyid: DIGEST_TEXT,
    },
    entrySha256: digestOf(name),
    payloadSha256: DIGEST_TEXT,
  };
}

/** As long as a real one, and as hard to compress. */
const SIGNATURE = createHash("sha512").update("signature").digest();

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}
