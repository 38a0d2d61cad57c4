/**
 * Foreign agents: an owner's word that a workload of a federated trust domain is its agent, with this scope.
 *
 * The workload keeps the identity that its own issuer gives it; nothing is issued to it here. What it may do, who
 * answers for it and how it is stopped is as for any agent. These are wire shapes, so members are named as they are
 * signed.
 *
 * @see docs/path.md, "Foreign agents"
 */

import { encodeBase64url, encodeUtf8, parseBase64url, parseUtf8 } from "../bytes.ts";
import { issueEnvelope, parseEnvelope, parseUnverifiedPayload } from "../dsse.ts";
import { TrustWardenError } from "../error.ts";
import { Fields } from "../fields.ts";
import { formatCanonicalJson, type JsonObject, parseJsonObject } from "../json.ts";
import type { Scope } from "../scope.ts";
import type { Signer } from "../signer.ts";
import { type EnrolmentCheck, formatOwnerKeyid } from "./enrolment.ts";
import { readOwnerId, readScope, readSpiffeId, readUlid } from "./enrolment-members.ts";
import { parseAgentLabel } from "./names.ts";
import { MAX_ENTRY_SECONDS, verifyStandingDocument } from "./registration-entry.ts";
import { instanceIdOf, parseSpiffeId, pathOf, type SpiffeId, trustDomainOf } from "./spiffe-id.ts";

const VALUE_PREFIX = "twf1.";
const MAX_VALUE_CHARS = 65_536;
/** A last segment that the path would take for an instance of ours. */
const INSTANCE_LIKE = /\/inst-[^/]*$/;

/** Signed by an owner's key: the workload with this SPIFFE ID is this agent until `exp`. */
export interface ForeignAgent {
  readonly v: 1;
  readonly kind: "foreign";
  /** ULID; single use. */
  readonly jti: string;
  /** SPIFFE ID of our trust domain. */
  readonly aud: string;
  /** Unix seconds. */
  readonly iat: number;
  /** Unix seconds; at most 366 days after `iat`. */
  readonly exp: number;
  /** `own_<ulid>` */
  readonly owner: string;
  /** Segments joined by `/`, empty for none. */
  readonly path: string;
  readonly name: string;
  readonly scope: Scope;
  /** Of another trust domain. */
  readonly spiffe_id: SpiffeId;
}

/** What a foreign workload needs to know to act here; holds no secret. */
export interface ForeignValue {
  /** base64url SHA-256 over our authorities (`digestOfAuthorities`). */
  readonly authoritiesSha256: string;
  /** https origin of our server. */
  readonly server: string;
  /** SPIFFE ID of our trust domain. */
  readonly trustDomain: string;
  readonly spiffeId: SpiffeId;
  readonly agentId: string;
  readonly instanceId: string;
  readonly ownerId: string;
  readonly path: string;
  readonly name: string;
  readonly scope: Scope;
  /** `owner:<id>`, then the agent's id. */
  readonly chain: readonly string[];
  /** Unix seconds. */
  readonly expiresAt: number;
}

/**
 * Signs a registration with the owner's key.
 *
 * @throws TrustWardenError whatever `verifyForeignAgent` would refuse in its members.
 */
export function issueForeignAgent(agent: ForeignAgent, signer: Signer): string {
  const payload = { ...agent, scope: [...agent.scope] };
  parseForeignAgent(payload);
  return issueEnvelope("entry", payload, signer, formatOwnerKeyid(signer.publicKey));
}

/** Who claims to have signed; only for finding the key. @throws TrustWardenError `dsse_malformed`, `entry_invalid`. */
export function parseUnverifiedForeignOwner(envelope: string): string {
  return parseForeignAgent(parseUnverifiedPayload(parseEnvelope(envelope))).owner;
}

/**
 * A registration that the owner's key signed, for this trust domain, not expired.
 *
 * @throws TrustWardenError `signature_invalid`, `entry_invalid`, `entry_expired`, `entry_too_large`, and the codes of
 *   its members.
 */
export function verifyForeignAgent(envelope: string, check: EnrolmentCheck): ForeignAgent {
  return verifyStandingDocument(envelope, check, parseForeignAgent);
}

/**
 * The members of a registration, closed and canonical; the signature is another matter.
 *
 * @throws TrustWardenError `entry_invalid`, `spiffe_id_malformed`, `scope_malformed`, `name_malformed`.
 */
export function parseForeignAgent(json: JsonObject): ForeignAgent {
  const members = new Fields(json, "entry_invalid");
  const agent: ForeignAgent = {
    v: members.version(),
    kind: members.literal("kind", "foreign"),
    jti: readUlid(members, "jti"),
    aud: readSpiffeId(members, "aud"),
    iat: members.integer("iat"),
    exp: members.integer("exp"),
    owner: readOwnerId(members, "owner"),
    ...parseAgentLabel({ path: members.text("path", { allowEmpty: true }), name: members.text("name") }),
    scope: readScope(members, "scope"),
    spiffe_id: readSpiffeId(members, "spiffe_id"),
  };
  members.end();
  if (agent.exp <= agent.iat || agent.exp - agent.iat > MAX_ENTRY_SECONDS) throw invalid("exp");
  requireForeignWorkload(agent);
  return agent;
}

/** The `twf1.` text of a registered foreign agent. */
export function formatForeignValue(value: ForeignValue): string {
  const json = { ...value, scope: [...value.scope], chain: [...value.chain] };
  return `${VALUE_PREFIX}${encodeBase64url(encodeUtf8(formatCanonicalJson(json)))}`;
}

/** @throws TrustWardenError `entry_invalid`, and the codes of its id, name and scope. */
export function parseForeignValue(text: string): ForeignValue {
  const members = new Fields(parseValue(text), "entry_invalid");
  const value: ForeignValue = {
    authoritiesSha256: members.digest("authoritiesSha256"),
    server: members.text("server"),
    trustDomain: parseSpiffeId(members.text("trustDomain")),
    spiffeId: readSpiffeId(members, "spiffeId"),
    agentId: members.text("agentId"),
    instanceId: members.text("instanceId"),
    ownerId: readOwnerId(members, "ownerId"),
    ...parseAgentLabel({ path: members.text("path", { allowEmpty: true }), name: members.text("name") }),
    scope: readScope(members, "scope"),
    chain: members.texts("chain"),
    expiresAt: members.integer("expiresAt"),
  };
  members.end();
  return value;
}

/**
 * A workload of somebody else: not one of ours, whose identities come from tickets and entries; not a service of a
 * federated TrustWarden; and never a name that reads as one of our instances.
 */
function requireForeignWorkload({ spiffe_id: id, aud }: ForeignAgent): void {
  const isOurs = trustDomainOf(id) === trustDomainOf(parseSpiffeId(aud));
  const path = pathOf(id);
  const isReserved = path === "" || path.startsWith("/trustwarden/") || INSTANCE_LIKE.test(path);
  if (isOurs || isReserved || instanceIdOf(id) !== undefined) throw invalid("spiffe_id");
}

function parseValue(text: string): JsonObject {
  if (text.length > MAX_VALUE_CHARS || !text.startsWith(VALUE_PREFIX)) throw invalid("prefix");
  try {
    return parseJsonObject(parseUtf8(parseBase64url(text.slice(VALUE_PREFIX.length))));
  } catch (cause) {
    throw new TrustWardenError("entry_invalid", { field: "encoding" }, { cause });
  }
}

function invalid(field: string): TrustWardenError {
  return new TrustWardenError("entry_invalid", { field });
}
