/** A log of eight entries: a server, an owner, an agent, a service, one action of the agent, and the agent's end. */

import { formatOwnerKeyid } from "@trustwarden/core/agentid/enrolment.ts";
import { formatAnswerCommitment } from "@trustwarden/core/answer-commitment.ts";
import { encodeBase64, encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { encodeSpki, sha256 } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import { formatRequestCommitment } from "@trustwarden/core/intent.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { createVectorDomain, createVectorParty, NOW, seededSigner, type VectorParty } from "../seeded.ts";
import { type ApprovalLie, approvalOf } from "./evidence-approval.ts";

export const domain = createVectorDomain("acme.test");
export const server = createVectorParty(domain, ["trustwarden", "server", "01S"]);
export const verifier = createVectorParty(domain, ["trustwarden", "verifier", "bank", "inst-01V"]);
const agent = createVectorParty(domain, ["team", "pay", "inst-01J"]);
const child = createVectorParty(domain, ["team", "child", "inst-01C"]);
const built = createVectorParty(domain, ["ci", "build", "inst-01B"]);
const stranger = createVectorParty(domain, ["team", "thief", "inst-01T"]);
const owner = seededSigner("own_1");
const TIME = formatTime((NOW + 10) * 1000);
const TICKET_SECONDS = 3600;
const DIGEST = encodeBase64url(sha256(encodeUtf8("digest")));

/** What the action's commitments open to. */
export const PAYLOAD = {
  method: "POST",
  target: "/v1/transactions",
  request: encodeUtf8("pay 7 Elm Street"),
  answer: encodeUtf8("paid"),
  salt: sha256(encodeUtf8("salt")),
};

/** What may be other than it should. */
interface Lies {
  readonly ticketBy: "owner" | "stranger";
  readonly possessionBy: "agent" | "stranger";
  readonly intentBy: "agent" | "stranger";
  readonly decisionBy: "server" | "verifier";
  readonly outcomeBy: "verifier" | "agent";
  readonly scope: readonly string[];
  readonly chain: readonly string[];
  readonly hasServer: boolean;
  readonly hasOutcome: boolean;
  /** What stands behind the outcome under its own key: nothing, itself again, or another one. */
  readonly repeats: "nothing" | "outcome" | "another outcome";
  /** Seconds between the domain's beginning and the ticket. */
  readonly ticketAge: number;
  /** What the agent granted to a child; null without one. The agent itself may do `write:transactions`. */
  readonly childScope: readonly string[] | null;
  /** Seconds between the domain's beginning and a registration entry that let an instance be; null without one. */
  readonly entryAge: number | null;
  /** Whether the ledger says that the action's payload was erased. */
  readonly isErased: boolean;
  readonly ownerId: string;
  /** The owner's yes that let the action be; null without one. */
  readonly approval: ApprovalLie | null;
}

/** The entries, and what of them is the action. */
export interface VectorLog {
  readonly entries: readonly Uint8Array[];
  readonly eventIndexes: readonly number[];
  /** Event ids, by index. */
  readonly ids: readonly string[];
  readonly lies: Lies;
}

const HONEST: Lies = {
  ticketBy: "owner",
  possessionBy: "agent",
  intentBy: "agent",
  decisionBy: "server",
  outcomeBy: "verifier",
  scope: ["write:transactions"],
  chain: ["owner:own_1", "agt_pay"],
  hasServer: true,
  hasOutcome: true,
  repeats: "nothing",
  ticketAge: 0,
  childScope: null,
  entryAge: null,
  isErased: false,
  ownerId: "own_1",
  approval: null,
};

/** The log. */
export function makeLog(changes: Partial<Lies>): VectorLog {
  const lies = { ...HONEST, ...changes };
  const intent = intentEntry(lies);
  const approval = lies.approval && approvalIn(lies.approval, lies.ownerId);
  const approved = (approval?.controls ?? []).map((one, index) => ({
    id: 80 + index,
    entry: control(80 + index, one),
  }));
  const before = [
    startEntry(lies),
    ownerEntry(lies),
    agentEntry(lies),
    verifierEntry(),
    ...approved.map(({ entry }) => entry),
  ];
  const outcome = (status: "success" | "failure" = "success") =>
    outcomeEntry(intent, { by: lies.outcomeBy, decisionIndex: before.length + 1, status });
  const action = [
    intent,
    decisionEntry(intent, lies, approval?.reference ?? null),
    ...(lies.hasOutcome ? [outcome()] : []),
    ...(lies.repeats === "outcome" ? [outcome()] : []),
    ...(lies.repeats === "another outcome" ? [outcome("failure")] : []),
  ];
  const more = [
    ...(lies.childScope === null ? [] : [{ id: 95, entry: childEntry(lies.childScope) }]),
    ...(lies.entryAge === null ? [] : [{ id: 96, entry: builtEntry(lies.entryAge) }]),
    ...(lies.isErased ? [{ id: 97, entry: erasureEntry() }] : []),
  ];
  const entries = [...before, ...action, revokeEntry(lies), ...more.map(({ entry }) => entry)];
  const one = eventId(1);
  return {
    entries,
    eventIndexes: action.map((_, index) => before.length + index),
    ids: [
      eventId(90),
      eventId(91),
      eventId(92),
      eventId(93),
      ...approved.map(({ id }) => eventId(id)),
      ...action.map(() => one),
      eventId(94),
      ...more.map(({ id }) => eventId(id)),
    ],
    lies,
  };
}

function startEntry({ hasServer }: Lies): Uint8Array {
  const carried = hasServer ? carriedBy(server) : {};
  return control(90, { kind: "start", subject: server.id, details: { ...carried } });
}

function ownerEntry({ ownerId }: Lies): Uint8Array {
  const details = { owner: ownerId, spki: encodeBase64(encodeSpki(owner.publicKey)) };
  return control(91, { kind: "owner", subject: ownerId, chain: [`owner:${ownerId}`], details });
}

function approvalIn(lie: ApprovalLie, ownerId: string) {
  const about = {
    owner: ownerId,
    agent: agent.id,
    action: "write:transactions",
    resource: "postgres://finance-db/transactions",
    audience: verifier.id,
    policy_sha256: DIGEST,
  };
  const signer = lie.by === "stranger" ? stranger.signer : owner;
  return approvalOf(lie, about, { signer, keyid: formatOwnerKeyid(owner.publicKey), eventId: eventId(1) });
}

function agentEntry({ ticketBy, possessionBy, scope, ticketAge, ownerId }: Lies): Uint8Array {
  const signer = ticketBy === "owner" ? owner : stranger.signer;
  const document = {
    v: 1,
    kind: "agent",
    owner: ownerId,
    ...placeOf(agent.id),
    iat: NOW + ticketAge,
    exp: NOW + ticketAge + TICKET_SECONDS,
    scope: ["write:transactions"],
    jti: "01T",
  };
  const ticket = issueEnvelope("ticket", document, signer, formatOwnerKeyid(owner.publicKey));
  const holder = possessionBy === "agent" ? agent : stranger;
  const details = {
    ...carriedBy(agent),
    agent_id: "agt_pay",
    spiffe_id: agent.id,
    scope: [...scope],
    enrolment: ticket,
    possession: possessionOf(holder, ticket),
  };
  return control(92, { kind: "issue", subject: agent.id, chain: [`owner:${ownerId}`, "agt_pay"], details });
}

/** How a document names the agent that it lets be. */
function placeOf(id: string): JsonObject {
  const segments = id.split("/");
  const aud = segments.slice(0, 3).join("/");
  return { aud, path: segments.slice(3, -2).join("/"), name: segments.at(-2) ?? "" };
}

function verifierEntry(): Uint8Array {
  const ticket = issueEnvelope(
    "ticket",
    { v: 1, kind: "verifier", ...placeOf(verifier.id), iat: NOW, exp: NOW + TICKET_SECONDS, jti: "01V" },
    server.signer,
    server.sha256,
  );
  const details = {
    ...carriedBy(verifier),
    spiffe_id: verifier.id,
    enrolment: ticket,
    possession: possessionOf(verifier, ticket),
  };
  return control(93, { kind: "issue", subject: verifier.id, principal: server.id, details });
}

/** The agent's grant for a child. */
function childEntry(scope: readonly string[]): Uint8Array {
  const document = {
    v: 1,
    parent: agent.id,
    svid_sha256: agent.sha256,
    ...placeOf(child.id),
    iat: NOW,
    exp: NOW + TICKET_SECONDS,
    scope: [...scope],
    jti: "01G",
  };
  const grant = issueEnvelope("grant", document, agent.signer, agent.sha256);
  const details = {
    ...carriedBy(child),
    agent_id: "agt_child",
    spiffe_id: child.id,
    scope: [...scope],
    enrolment: grant,
    possession: possessionOf(child, grant),
  };
  const chain = ["owner:own_1", "agt_pay", "agt_child"];
  return control(95, { kind: "issue", subject: child.id, chain, details });
}

/** An instance of a registration entry, by evidence of what it is. */
function builtEntry(age: number): Uint8Array {
  const scope = ["read:code"];
  const document = {
    v: 1,
    kind: "agent",
    owner: "own_1",
    ...placeOf(built.id),
    iat: NOW + age,
    exp: NOW + age + TICKET_SECONDS,
    scope,
    selectors: ["github:repository_id:7"],
    nodes: ["*"],
    jti: "01E",
  };
  const entry = issueEnvelope("entry", document, owner, formatOwnerKeyid(owner.publicKey));
  const details = {
    ...carriedBy(built),
    agent_id: "agt_build",
    spiffe_id: built.id,
    via: "entry",
    entry_id: "ent_01E",
    scope,
    attested: { type: "github", selectors: ["github:repository_id:7"], evidence_sha256: DIGEST },
    enrolment: entry,
    possession: possessionFor(built, DIGEST),
  };
  return control(96, { kind: "issue", subject: built.id, chain: ["owner:own_1", "agt_build"], details });
}

function erasureEntry(): Uint8Array {
  const details = { change: "erasure", event_id: eventId(1), reason: "GDPR article 17" };
  return control(97, { kind: "admin", subject: `payload:${eventId(1)}`, details });
}

function revokeEntry({ ownerId }: Lies): Uint8Array {
  return control(94, { kind: "revoke", subject: agent.id, chain: [`owner:${ownerId}`, "agt_pay"], epoch: 9 });
}

function intentEntry({ intentBy }: Lies): Uint8Array {
  const by = intentBy === "agent" ? agent : stranger;
  const payload = {
    v: 1,
    event_id: eventId(1),
    agent: { id: "agt_pay", spiffe_id: agent.id, svid_sha256: agent.sha256 },
    action: "write:transactions",
    resource: "postgres://finance-db/transactions",
    request: formatRequestCommitment({ ...PAYLOAD, body: PAYLOAD.request }, PAYLOAD.salt),
    params: null,
    aud: verifier.id,
    job: null,
    time: TIME,
    exp: NOW + 60,
    seq: 1,
    prev: null,
    seen: null,
  };
  return encodeUtf8(issueEnvelope("intent", payload, by.signer, agent.sha256));
}

function decisionEntry(
  intent: Uint8Array,
  { decisionBy, chain }: Lies,
  approval: JsonObject | null,
): Uint8Array {
  const by = decisionBy === "server" ? server : verifier;
  const payload = {
    v: 1,
    event_id: eventId(1),
    intent_sha256: encodeBase64url(sha256(intent)),
    allow: true,
    reasons: [],
    class: "B",
    chain: [...chain],
    policy: { name: "trustwarden-builtin-v1", bundle_sha256: DIGEST },
    approval,
    from: { peer: "127.0.0.1" },
    custody: "agent",
    attested: { type: "none", strength: "none", composition_sha256: null },
    enforcement: "service",
    lease_epoch: 7,
    time: TIME,
  };
  return encodeUtf8(issueEnvelope("decision", payload, by.signer, by.sha256));
}

function outcomeEntry(
  intent: Uint8Array,
  {
    by: outcomeBy,
    decisionIndex,
    status,
  }: {
    readonly by: Lies["outcomeBy"];
    readonly decisionIndex: number;
    readonly status: "success" | "failure";
  },
): Uint8Array {
  const by = outcomeBy === "verifier" ? verifier : agent;
  const payload = {
    v: 1,
    event_id: eventId(1),
    intent_sha256: encodeBase64url(sha256(intent)),
    decision_index: decisionIndex,
    status,
    result: formatAnswerCommitment(sha256(PAYLOAD.answer), PAYLOAD.salt),
    bytes: 12,
    duration_ms: 3,
    time: TIME,
  };
  return encodeUtf8(issueEnvelope("outcome", payload, by.signer, by.sha256));
}

function control(number: number, changes: JsonObject): Uint8Array {
  const payload = {
    v: 1,
    event_id: eventId(number),
    allow: true,
    reasons: [],
    principal: "operator",
    subject: null,
    chain: [],
    intent_sha256: null,
    epoch: 1,
    from: { peer: "admin" },
    details: {},
    time: TIME,
    ...changes,
  };
  return encodeUtf8(issueEnvelope("control", payload, server.signer, server.sha256));
}

function carriedBy({ chain, sha256: digest }: VectorParty): JsonObject {
  return { svid_sha256: digest, svid_chain: chain.map(encodeBase64) };
}

function possessionOf(party: VectorParty, ticket: string): string {
  return possessionFor(party, encodeBase64url(sha256(encodeUtf8(ticket))));
}

function possessionFor({ signer, sha256: keyid }: VectorParty, bound: string): string {
  return issueEnvelope("possession", { enrolment_sha256: bound }, signer, keyid);
}

function eventId(number: number): string {
  return `01990000-0000-7000-8000-${String(number).padStart(12, "0")}`;
}
