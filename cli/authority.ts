/**
 * The chain of permission behind one action, from the ledger's own issue events: each instance's ticket, grant or entry is
 * found, its signature checked with the owner's registered key or the parent's proven SVID, up to the owner.
 */
import { parseUnverifiedEnrolment, verifyGrant, verifyTicket } from "@trustwarden/core/agentid/enrolment.ts";
import { verifyForeignAgent } from "@trustwarden/core/agentid/foreign-agent.ts";
import { entryIdOf, verifyRegistrationEntry } from "@trustwarden/core/agentid/registration-entry.ts";
import { parseSpiffeId, trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import { OwnerKeys } from "@trustwarden/core/agentledger/audit-owners.ts";
import { eventPage } from "@trustwarden/core/api/ledger.ts";
import type { PublicKey } from "@trustwarden/core/crypto.ts";
import { parseEnvelope } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { ControlRecord } from "@trustwarden/core/event.ts";
import type { OwnerKey } from "@trustwarden/core/passkey.ts";
import { type Client, formatTarget } from "./client.ts";
import type { Evidence } from "./evidence.ts";
import type { EventProver } from "./evidence-session.ts";

/** Longer than any delegation limit allows; ends a walk over a cyclic ledger. */
const MAX_LINKS = 40;

/** One permission: who let this agent exist, when, with which scope; and where in the ledger it stands. */
export type AuthorityLink = {
  readonly name: string;
  readonly agent_id: string;
  readonly by: string;
  readonly signed_at: string;
  readonly scope: readonly string[];
  readonly entry: number;
};

/** An issue event with its place. */
interface Issue {
  readonly record: ControlRecord;
  readonly index: number;
}

interface Source {
  readonly client: Client;
  readonly prover: EventProver;
}

/**
 * The links from the owner's first agent down to the one that acted; empty for an event without an agent.
 *
 * @throws TrustWardenError `not_found` when the ledger lacks an issue event, and the codes of the proofs.
 */
export async function proveAuthority(source: Source, evidence: Evidence): Promise<readonly AuthorityLink[]> {
  const links: AuthorityLink[] = [];
  let spiffeId = (evidence.intent ?? evidence.presented)?.record.agent.spiffe_id;
  while (spiffeId !== undefined && links.length < MAX_LINKS) {
    const issue = await findIssue(source, spiffeId);
    const parent = issue.record.details.parent;
    links.unshift(await proveLink(source, issue, spiffeId));
    spiffeId = typeof parent === "string" ? parent : undefined;
  }
  return links;
}

/** The proven issue event of one instance. */
async function findIssue({ client, prover }: Source, spiffeId: string): Promise<Issue> {
  const target = formatTarget("/v1/events", { agent: spiffeId, kind: "issue", limit: 100 });
  const { events } = await client.get(target, eventPage);
  for (const { event_id } of events) {
    const { evidence } = await prover.prove(event_id);
    const { control } = evidence;
    if (control?.record.kind === "issue" && control.record.details.spiffe_id === spiffeId)
      return { record: control.record, index: control.index };
  }
  throw new TrustWardenError("not_found", { why: `the ledger has no issue event of ${spiffeId}` });
}

async function proveLink(source: Source, { record, index }: Issue, spiffeId: string): Promise<AuthorityLink> {
  const { enrolment, via } = record.details;
  if (typeof enrolment !== "string")
    throw new TrustWardenError("ticket_invalid", { why: "no document is embedded" });
  const audience = trustDomainOf(parseSpiffeId(spiffeId));
  const now = Math.floor(Date.parse(record.time) / 1000);
  if (via === "grant") {
    const svid = await findParentSvid(source, record, now);
    const grant = verifyGrant(enrolment, { publicKey: svid, audience, now });
    return formatLink({ record, index, by: `granted by ${grant.parent}`, document: grant });
  }
  const publicKey = await findOwnerKey(source, String(record.details.owner), { enrolment, before: index });
  if (via === "foreign") {
    const agent = verifyForeignAgent(enrolment, {
      publicKey,
      audience: source.prover.svids.trustDomain,
      now,
    });
    return formatLink({ record, index, by: `registered by owner ${agent.owner}`, document: agent });
  }
  if (via === "entry") {
    const entry = verifyRegistrationEntry(enrolment, { publicKey, audience, now });
    const by = `registration entry ${entryIdOf(entry)} signed by owner ${entry.owner}`;
    return formatLink({ record, index, by, document: entry });
  }
  const ticket = verifyTicket(enrolment, { publicKey, audience, now });
  return formatLink({ record, index, by: `ticket signed by owner ${ticket.owner}`, document: ticket });
}

/** The key of the SVID with which the parent signed its grant. */
async function findParentSvid({ prover }: Source, record: ControlRecord, at: number): Promise<PublicKey> {
  const { enrolment, parent } = record.details;
  const document = parseUnverifiedEnrolment(String(enrolment));
  if (document.via !== "grant")
    throw new TrustWardenError("grant_invalid", { why: "the document is no grant" });
  const sha256 = document.unverifiedSvidSha256;
  const svid = await prover.svids.find({ sha256, hints: [String(parent)], at });
  if (svid.spiffeId !== parent)
    throw new TrustWardenError("svid_mismatch", { why: "another agent signed the grant" });
  return svid.publicKey;
}

/** The key that the owner had when it signed, from the proven events of the owner and of the person who it is. */
async function findOwnerKey(
  { client, prover }: Source,
  owner: string,
  { enrolment, before }: { readonly enrolment: string; readonly before: number },
): Promise<OwnerKey> {
  const found: { readonly record: ControlRecord; readonly index: number }[] = [];
  for (const kind of ["owner", "person"]) {
    const { events } = await client.get(formatTarget("/v1/events", { owner, kind, limit: 100 }), eventPage);
    for (const { event_id } of events) {
      const { control } = (await prover.prove(event_id)).evidence;
      if (control?.record.allow === true && control.index < before) found.push(control);
    }
  }
  const keys = new OwnerKeys();
  for (const { record } of found.sort((left, right) => left.index - right.index)) keys.add(record);
  return keys.keyFor(owner, parseEnvelope(enrolment));
}

function formatLink({
  record,
  index,
  by,
  document,
}: {
  readonly record: ControlRecord;
  readonly index: number;
  readonly by: string;
  readonly document: { readonly name: string; readonly iat: number; readonly scope: readonly string[] };
}): AuthorityLink {
  return {
    name: document.name,
    agent_id: String(record.details.agent_id),
    by,
    signed_at: new Date(document.iat * 1000).toISOString(),
    scope: document.scope,
    entry: index,
  };
}
