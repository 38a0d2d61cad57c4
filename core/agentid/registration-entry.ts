/**
 * Registration entries: which workloads may become which agent. Signed by the owner's key like a ticket, but used for
 * every workload that matches, until the entry expires or is removed.
 *
 * These are wire shapes, so members are named as they are signed. Whether an entry was removed, and what a workload's
 * selectors really are, is the business of the store and the attestors.
 *
 * @see docs/path.md, "Registration entries"
 */
import { issueEnvelope, parseEnvelope, parseUnverifiedPayload, verifyEnvelope } from "../dsse.ts";
import { TrustWardenError } from "../error.ts";
import { Fields } from "../fields.ts";
import type { JsonObject } from "../json.ts";
import type { Scope } from "../scope.ts";
import type { Signer } from "../signer.ts";
import { type EnrolmentCheck, formatOwnerKeyid } from "./enrolment.ts";
import {
  readLimits,
  readOwnerId,
  readScope,
  readSpiffeId,
  readTtlSeconds,
  readUlid,
  type SignedLimits,
} from "./enrolment-members.ts";
import { parseAgentLabel, parseNodeName } from "./names.ts";
import { formatSelectors, parseSelectors, requireStrongSelectors, type Selector } from "./selector.ts";
import { formatSpiffeId } from "./spiffe-id.ts";

/** How far the owner's clock may run ahead of ours. */
const CLOCK_SKEW_SECONDS = 30;
/** A standing permission is looked at again every year. */
export const MAX_ENTRY_SECONDS = 31_622_400;
/** The entry is embedded in the event of every instance, which has to fit into one ledger entry. */
export const MAX_ENTRY_ENVELOPE_CHARS = 6144;
const MAX_NODES = 32;
/** A word for the workload's own configuration, as the Workload API delivers it. */
const HINT = /^[\x20-\x7e]{0,128}$/;
const ANY_NODE = "*";
const ENTRY_PREFIX = "ent_";

/** Signed by an owner's key: workloads with these selectors, on these hosts, are this agent. */
export interface RegistrationEntry {
  readonly v: 1;
  readonly kind: "agent";
  /** ULID; the entry's id is `ent_<jti>`. */
  readonly jti: string;
  /** SPIFFE ID of the trust domain. */
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
  /** Lifetime of each instance. */
  readonly ttl_seconds: number;
  readonly limits: SignedLimits;
  /** Canonical texts; a workload needs all of them. */
  readonly selectors: readonly string[];
  /** Names of hosts, sorted, or `*` alone. */
  readonly nodes: readonly string[];
  /** Empty for none. */
  readonly hint: string;
}

/** The id of an entry from its `jti`. */
export function entryIdOf({ jti }: Pick<RegistrationEntry, "jti">): string {
  return `${ENTRY_PREFIX}${jti}`;
}

/** Whether a host of this name may ask for the entry. */
export function isForNode({ nodes }: Pick<RegistrationEntry, "nodes">, name: string): boolean {
  return nodes.includes(ANY_NODE) || nodes.includes(name);
}

/** The selectors that a workload needs, parsed. */
export function selectorsOf({ selectors }: Pick<RegistrationEntry, "selectors">): readonly Selector[] {
  return parseSelectors(selectors);
}

/**
 * Signs an entry with the owner's key.
 *
 * @throws TrustWardenError `entry_invalid`, `selector_malformed`, `selectors_too_weak`, and the codes of its members.
 */
export function issueRegistrationEntry(entry: RegistrationEntry, signer: Signer, keyid: string): string {
  const payload = formatEntry(entry);
  parseRegistrationEntry(payload);
  return issueEnvelope("entry", payload, signer, keyid);
}

/**
 * Who claims to have signed an entry; only for finding the key.
 *
 * @throws TrustWardenError `dsse_malformed`, `entry_invalid`.
 */
export function parseUnverifiedEntryOwner(envelope: string): string {
  return parseRegistrationEntry(parseUnverifiedPayload(parseEnvelope(envelope))).owner;
}

/**
 * An entry that the owner's key signed, for this trust domain, not expired.
 *
 * @throws TrustWardenError `signature_invalid`, `entry_invalid`, `entry_expired`, `entry_too_large`,
 *   `selector_malformed`, `selectors_too_weak`, and the codes of its members.
 */
export function verifyRegistrationEntry(envelope: string, check: EnrolmentCheck): RegistrationEntry {
  return verifyStandingDocument(envelope, check, parseRegistrationEntry);
}

/**
 * What every standing document of an owner has to be: signed by that key, small enough to be embedded in events, for this
 * trust domain, and within its time.
 *
 * @param parse - its members; throws for what it refuses.
 * @throws TrustWardenError as `verifyRegistrationEntry`.
 */
export function verifyStandingDocument<T extends Pick<RegistrationEntry, "aud" | "iat" | "exp">>(
  envelope: string,
  check: EnrolmentCheck,
  parse: (json: JsonObject) => T,
): T {
  if (envelope.length > MAX_ENTRY_ENVELOPE_CHARS)
    throw new TrustWardenError("entry_too_large", { chars: envelope.length });
  const parsed = parseEnvelope(envelope);
  const document = parse(verifyEnvelope(parsed, "entry", check.publicKey));
  if (parsed.unverifiedKeyid !== formatOwnerKeyid(check.publicKey)) throw invalid("keyid");
  if (document.aud !== formatSpiffeId(check.audience, [])) throw invalid("aud");
  if (document.iat > check.now + CLOCK_SKEW_SECONDS) throw invalid("iat");
  if (check.now >= document.exp)
    throw new TrustWardenError("entry_expired", { exp: document.exp, now: check.now });
  return document;
}

/**
 * The members of an entry, closed and canonical; the signature is another matter.
 *
 * @throws TrustWardenError `entry_invalid`, `selector_malformed`, `selectors_too_weak`, `scope_malformed`,
 *   `name_malformed`, `ttl_malformed`.
 */
export function parseRegistrationEntry(json: JsonObject): RegistrationEntry {
  const members = new Fields(json, "entry_invalid");
  const entry: RegistrationEntry = {
    v: members.version(),
    kind: members.literal("kind", "agent"),
    jti: readUlid(members, "jti"),
    aud: readSpiffeId(members, "aud"),
    iat: members.integer("iat"),
    exp: members.integer("exp"),
    owner: readOwnerId(members, "owner"),
    ...parseAgentLabel({ path: members.text("path", { allowEmpty: true }), name: members.text("name") }),
    scope: readScope(members, "scope"),
    ttl_seconds: readTtlSeconds(members, "ttl_seconds"),
    limits: readLimits(members, "limits"),
    selectors: readSelectors(members),
    nodes: readNodes(members),
    hint: readHint(members),
  };
  members.end();
  if (entry.exp <= entry.iat || entry.exp - entry.iat > MAX_ENTRY_SECONDS) throw invalid("exp");
  return entry;
}

function readSelectors(members: Fields): readonly string[] {
  const texts = members.texts("selectors");
  const selectors = parseSelectors(texts);
  requireStrongSelectors(selectors);
  return isSame(formatSelectors(selectors), texts) ? texts : members.refuse("selectors");
}

function readNodes(members: Fields): readonly string[] {
  const nodes = members.texts("nodes");
  if (isSame(nodes, [ANY_NODE])) return nodes;
  const isBounded = nodes.length > 0 && nodes.length <= MAX_NODES;
  if (!isBounded || !isSame([...new Set(nodes)].toSorted(), nodes)) return members.refuse("nodes");
  return nodes.map(parseNodeName);
}

function readHint(members: Fields): string {
  const hint = members.text("hint", { allowEmpty: true });
  return HINT.test(hint) ? hint : members.refuse("hint");
}

function formatEntry(entry: RegistrationEntry): JsonObject {
  return {
    ...entry,
    scope: [...entry.scope],
    limits: { ...entry.limits },
    selectors: [...entry.selectors],
    nodes: [...entry.nodes],
  };
}

function isSame(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((item, index) => item === right[index]);
}

function invalid(field: string): TrustWardenError {
  return new TrustWardenError("entry_invalid", { field });
}
