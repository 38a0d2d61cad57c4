/**
 * What the writer is given for the agents of one owner: the enrolment of the first, registration entries, and rows.
 *
 * Owners sign their tickets and entries. The envelopes that a command only carries into its event (tickets, grants, proofs
 * of possession) are real ones of the owner's, the same in each of its commands: they have the right size, and their
 * signatures are checked in the layer that this leaves out.
 */
import { createECDH, randomBytes } from "node:crypto";
import { formatOwnerKeyid, issueTicket } from "@trustwarden/core/agentid/enrolment.ts";
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import type { RegistrationEntry } from "@trustwarden/core/agentid/registration-entry.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import type { WriterCommand } from "../../server/store/writer-protocol.ts";
import type { BulkAgent, Placed } from "./bulk.ts";
import { operatorContext, TRUST_DOMAIN } from "./founding.ts";
import { MAX_DEPTH, type PlannedAgent } from "./shape.ts";

const MONTH_SECONDS = 2_592_000;
const TICKET_SECONDS = 600;
/** Of each node. */
export const SELECTOR = "unix:uid:1000";
/** SubjectPublicKeyInfo of P-256 up to the point. */
const SPKI_HEAD = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107034200", "hex");
const SCOPES = Array.from({ length: MAX_DEPTH + 1 }, (_, depth) => scopeAt(depth));

/** Who owns agents, and what its commands carry. */
export interface Owner {
  readonly ownerId: string;
  readonly signer: Signer;
  readonly keyid: string;
  readonly agents: readonly PlannedAgent[];
  readonly path: string;
  readonly ticket: string;
  readonly possession: string;
}

/** An agent to be issued, and where it stands. */
export interface Waiting {
  readonly owner: Owner;
  readonly place: number;
}

/** An owner with the envelopes of its commands. */
export function createOwner(named: Omit<Owner, "keyid" | "ticket" | "possession">): Owner {
  const { signer } = named;
  const keyid = formatOwnerKeyid(signer.publicKey);
  const nonce = encodeBase64url(randomBytes(32));
  const enrolmentSha256 = encodeBase64url(sha256(randomBytes(8)));
  return {
    ...named,
    keyid,
    ticket: signTicket({ ...named, keyid }),
    possession: issuePossession({ nonce, enrolmentSha256 }, signer),
  };
}

/** The enrolment of an owner's first agent by its ticket. */
export function enrolmentOf(owner: Owner): WriterCommand {
  const context = operatorContext();
  const now = Math.floor(context.nowMs / 1000);
  return {
    kind: "issue",
    command: {
      context: { ...context, principal: "enrollee:bench" },
      via: "ticket",
      ownerId: owner.ownerId,
      parent: null,
      jti: formatUlid(context.nowMs, randomBytes),
      enrolmentExpiresAt: now + TICKET_SECONDS,
      enrolmentIssuedAt: now,
      path: owner.path,
      name: "agent-0",
      scope: scopeAt(0),
      ttlSeconds: MONTH_SECONDS,
      limits: { depth: MAX_DEPTH, fanOut: 1_000_000, budget: null },
      custody: "agent",
      compositionSha256: null,
      spki: newSpki(),
      thumbprint: "",
      enrolment: owner.ticket,
      possession: owner.possession,
      classKey: null,
    },
  };
}

/** An agent as a row. */
export function bulkOf(
  { owner, place }: Waiting,
  issued: ReadonlyMap<number, Placed> | undefined,
  details: JsonObject | undefined,
): BulkAgent {
  const { depth, parent } = owner.agents[place] ?? { depth: 0, parent: null };
  return {
    ownerId: owner.ownerId,
    path: owner.path,
    name: `agent-${place}`,
    scope: SCOPES[depth] ?? scopeAt(depth),
    depthLeft: MAX_DEPTH - depth,
    parent: parent === null ? null : (issued?.get(parent) ?? null),
    ttlSeconds: MONTH_SECONDS,
    details: details ?? {},
  };
}

/** A root's registration entry on a node. */
export function entryDocument({ owner, place }: Waiting, node: string): RegistrationEntry {
  return {
    ...unsignedTicket(owner, { name: `agent-${place}`, seconds: 4 * MONTH_SECONDS }),
    selectors: [SELECTOR],
    nodes: [node],
    hint: "",
  };
}

/** A fresh public key; nobody signs with what was generated. */
export function newSpki(): Uint8Array {
  return new Uint8Array(Buffer.concat([SPKI_HEAD, createECDH("prime256v1").generateKeys()]));
}

function signTicket(owner: Omit<Owner, "ticket" | "possession">): string {
  const ticket = unsignedTicket(owner, { name: "agent-0", seconds: TICKET_SECONDS });
  return issueTicket(ticket, owner.signer, owner.keyid);
}

/** What a ticket and an entry say alike. */
function unsignedTicket(
  { ownerId, path }: Pick<Owner, "ownerId" | "path">,
  { name, seconds }: { readonly name: string; readonly seconds: number },
) {
  const nowMs = Date.now();
  const now = Math.floor(nowMs / 1000);
  return {
    v: 1,
    kind: "agent",
    jti: formatUlid(nowMs, randomBytes),
    aud: `spiffe://${TRUST_DOMAIN}`,
    iat: now,
    exp: now + seconds,
    owner: ownerId,
    path,
    name,
    scope: scopeAt(0),
    ttl_seconds: MONTH_SECONDS,
    limits: { depth: MAX_DEPTH, fan_out: 1_000_000, budget: null },
  } as const;
}

/** A child may do strictly less than its parent. */
function scopeAt(depth: number) {
  return parseScope(Array.from({ length: MAX_DEPTH + 1 - depth }, (_, at) => `read:feed-${at}`));
}
