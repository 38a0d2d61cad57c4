/** Whether an instance and its SVID are alive, asked inside the transaction that acts on the answer. */
import { requireLivingLine } from "@trustwarden/core/agentid/delegation.ts";
import { parseSpiffeId, type TrustDomain, trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { InstanceState } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { lineOf } from "../sqlite-instance.ts";

const FIND_SVID = `
  SELECT svids.instance_id, svids.not_after, instances.revoked_epoch, instances.expires_at
  FROM svids JOIN instances ON instances.instance_id = svids.instance_id 
  WHERE svids.svid_sha256 = ? AND svids.is_class = 0`;

/** A live instance with the line it stands in. */
export interface LiveInstance {
  readonly instance: InstanceState;
  /** From the root down to the instance. */
  readonly line: readonly InstanceState[];
}

/**
 * The instance, alive, with every ancestor alive.
 *
 * @param now - Unix seconds.
 * @throws TrustWardenError `instance_unknown`, `identity_revoked`, `identity_expired` or `ancestor_dead`.
 */
export function verifyLiveInstance(database: SqliteDatabase, instanceId: string, now: number): LiveInstance {
  return requireLiveLine(lineOf(database, instanceId), instanceId, now);
}

/**
 * `verifyLiveInstance` of a line that was read in this transaction.
 *
 * @param line - as `lineOf` gives it.
 * @param now - Unix seconds.
 * @throws TrustWardenError as `verifyLiveInstance`.
 */
export function requireLiveLine(
  line: readonly InstanceState[],
  instanceId: string,
  now: number,
): LiveInstance {
  const instance = line.at(-1);
  if (instance === undefined) throw new TrustWardenError("instance_unknown", { instanceId });
  if (instance.isRevoked) throw new TrustWardenError("identity_revoked", { instanceId });
  if (instance.expiresAt <= now) throw new TrustWardenError("identity_expired", { instanceId });
  requireLivingLine(line, now);
  return { instance, line };
}

/**
 * A live node, by the SVID that its socket proved; what a node asks for is decided in the transaction that does it.
 *
 * @param node.now - Unix seconds.
 * @throws TrustWardenError `principal_refused` when it is no node, and the codes of `verifyLiveInstance` and
 *   `requireLiveSvid`.
 */
export function verifyLiveNode(
  database: SqliteDatabase,
  node: { readonly nodeInstanceId: string; readonly nodeSvidSha256: string; readonly now: number },
): InstanceState {
  const { nodeInstanceId: instanceId, nodeSvidSha256: svidSha256, now } = node;
  const { instance } = verifyLiveInstance(database, instanceId, now);
  if (instance.kind !== "node") throw new TrustWardenError("principal_refused", { kind: instance.kind });
  requireLiveSvid(database, { svidSha256, instanceId, now });
  return instance;
}

/**
 * Refuses a composition that is declared again and is not the one that the instance was born with.
 *
 * @throws TrustWardenError `composition_changed`.
 */
export function requireSameComposition(
  { instanceId, attested }: InstanceState,
  compositionSha256: string | null,
): void {
  if (compositionSha256 !== null && compositionSha256 !== attested.compositionSha256) {
    throw new TrustWardenError("composition_changed", { instanceId });
  }
}

/**
 * Refuses a foreign agent: its identities come from its own issuer, and we sign none in its name.
 *
 * @throws TrustWardenError `principal_refused`.
 */
export function requireOurs({ spiffeId }: InstanceState, trustDomain: TrustDomain): void {
  if (trustDomainOf(parseSpiffeId(spiffeId)) !== trustDomain) {
    throw new TrustWardenError("principal_refused", { reason: "foreign" });
  }
}

/**
 * Refuses an SVID that is unknown, expired, another instance's, or of a dead instance.
 *
 * @throws TrustWardenError `svid_mismatch`, `svid_expired`, `identity_revoked` or `identity_expired`.
 */
export function requireLiveSvid(
  database: SqliteDatabase,
  svid: { readonly svidSha256: string; readonly now: number; readonly instanceId?: string },
): void {
  const row = database.get(FIND_SVID, svid.svidSha256);
  if (row === undefined) throw new TrustWardenError("svid_mismatch", { reason: "unknown" });
  if (svid.instanceId !== undefined && row.text("instance_id") !== svid.instanceId) {
    throw new TrustWardenError("svid_mismatch", { reason: "another instance's" });
  }
  if (row.integerOrNull("revoked_epoch") !== null) throw new TrustWardenError("identity_revoked");
  if (row.integer("expires_at") <= svid.now) throw new TrustWardenError("identity_expired");
  if (row.integer("not_after") <= svid.now) throw new TrustWardenError("svid_expired");
}
