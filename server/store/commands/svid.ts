/** Issues the X.509-SVID of an instance inside the command's transaction, and keeps what later checks need of it. */
import { type ActionClasses, classOf, parseActionName } from "@trustwarden/core/action.ts";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { createSerial, issueLeafCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import { encodeBase64, encodeBase64url, encodeHex } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Scope } from "@trustwarden/core/scope.ts";
import type { InstanceState, NamedIdentity } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { claimKey } from "./claims.ts";
import type { CommandDeps } from "./deps.ts";
import { keepIssuer } from "./issuers.ts";

/** An hour, or ten minutes for whoever may do what cannot be undone. */
export const SVID_TTL_SECONDS = 3600;
const CLASS_A_SVID_TTL_SECONDS = 600;

const INSERT = `
  INSERT INTO svids (svid_sha256, instance_id, serial, spki, not_after, issuer, is_class)
  VALUES (?, ?, ?, ?, ?, ?, ?)`;

/** An issued X.509-SVID. */
export interface LeafSvid {
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  /** base64url SHA-256 of the leaf. */
  readonly sha256: string;
  /** Lower-case hex. */
  readonly serial: string;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/**
 * A new SVID of an instance for a key that nobody ever had.
 *
 * @param options.now - Unix seconds.
 * @throws TrustWardenError `key_reused`, `identity_expired`, `public_key_refused` or `authority_expired`.
 */
export function issueInstanceSvid(
  database: SqliteDatabase,
  deps: CommandDeps,
  options: { readonly instance: InstanceState; readonly spki: Uint8Array; readonly now: number },
): LeafSvid {
  return issueOf(database, deps, { ...options, spiffeId: options.instance.spiffeId, isClass: 0 });
}

/**
 * A class SVID of an instance: the agent's name without the instance, for services that know agents by their class.
 * It has a key and serial of its own and dies with the instance; our own guard takes it from nobody.
 *
 * @param options.now - Unix seconds.
 * @throws TrustWardenError as `issueInstanceSvid`.
 */
export function issueClassSvid(
  database: SqliteDatabase,
  deps: CommandDeps,
  options: { readonly instance: InstanceState; readonly spki: Uint8Array; readonly now: number },
): LeafSvid {
  return issueOf(database, deps, { ...options, spiffeId: spiffeIdOf(options.instance, "class"), isClass: 1 });
}

/** The SPIFFE ID of an instance, or that of its class: without the last segment. */
export function spiffeIdOf({ spiffeId, instanceId }: InstanceState, identity: NamedIdentity): string {
  return identity === "class" ? spiffeId.slice(0, -`/${instanceId}`.length) : spiffeId;
}

function issueOf(
  database: SqliteDatabase,
  deps: CommandDeps,
  options: {
    readonly instance: InstanceState;
    readonly spiffeId: string;
    readonly spki: Uint8Array;
    readonly now: number;
    readonly isClass: 0 | 1;
  },
): LeafSvid {
  const { instance, spiffeId, spki, now, isClass } = options;
  claimKey(database, spki, instance.instanceId);
  const ttlSeconds = svidTtlSeconds(instance.scope, deps.rules.classes);
  const notAfter = Math.min(now + ttlSeconds, instance.expiresAt);
  if (notAfter <= now) throw new TrustWardenError("identity_expired", { instanceId: instance.instanceId });
  const svid = issueSvid(deps, { spiffeId, spki, now, notAfter });
  const { intermediate } = deps;
  keepIssuer(database, intermediate);
  const row = [svid.sha256, instance.instanceId, svid.serial, spki, svid.expiresAt, intermediate.serialHex];
  database.run(INSERT, ...row, isClass);
  return svid;
}

/** An SVID that is cut to the authority's own life. */
export function issueSvid(
  deps: CommandDeps,
  options: {
    readonly spiffeId: string;
    readonly spki: Uint8Array;
    readonly now: number;
    readonly notAfter: number;
  },
): LeafSvid {
  const serial = createSerial(deps.random);
  const leaf = issueLeafCertificate({
    id: parseSpiffeId(options.spiffeId),
    spki: options.spki,
    ca: deps.intermediate,
    signer: deps.intermediateSigner,
    serial,
    now: options.now,
    notAfter: options.notAfter,
  });
  return {
    chain: [leaf, deps.intermediate.der],
    sha256: encodeBase64url(sha256(leaf)),
    serial: encodeHex(serial),
    expiresAt: Math.min(options.notAfter, deps.intermediate.notAfter),
  };
}

/** The SVID as events show it. */
export function formatSvid(svid: LeafSvid): {
  readonly svid_sha256: string;
  readonly svid_chain: readonly string[];
  readonly svid_expires_at: number;
} {
  return {
    svid_sha256: svid.sha256,
    svid_chain: svid.chain.map(encodeBase64),
    svid_expires_at: svid.expiresAt,
  };
}

/** How long an SVID of this scope lives: short when any action of class A is in reach. */
function svidTtlSeconds(scope: Scope, classes: ActionClasses): number {
  const isClassA = scope.some((atom) => reachesClassA(atom, classes));
  return isClassA ? CLASS_A_SVID_TTL_SECONDS : SVID_TTL_SECONDS;
}

/** A wildcard verb reaches verbs that nobody has classed, and those are A; a wildcard type reaches every `verb:type`. */
function reachesClassA(atom: string, classes: ActionClasses): boolean {
  const [verb = "", type = ""] = atom.split(":");
  if (verb === "*") return true;
  if (type !== "*") return classOf(parseActionName(`${verb}:${type}`), classes) === "A";
  const isExceptionA = Object.entries(classes).some(
    ([key, value]) => key.startsWith(`${verb}:`) && value === "A",
  );
  const byVerb = Object.hasOwn(classes, verb) ? classes[verb] : undefined;
  return isExceptionA || byVerb === undefined || byVerb === "A";
}
