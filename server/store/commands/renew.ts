/**
 * Renews the SVID of a live instance for a fresh key; the instance's own end does not move.
 *
 * Serialised with revocations by the one writer: after a revocation is acknowledged no renewal commits (B18).
 */
import type { IssuedIdentity, RenewCommand } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { formatLine } from "../sqlite-instance.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";
import { formatIdentity } from "./identity.ts";
import { issueClass } from "./issue-class.ts";
import { requireLiveSvid, requireOurs, requireSameComposition, verifyLiveInstance } from "./live-instance.ts";
import { formatSvid, issueInstanceSvid } from "./svid.ts";

/**
 * @throws TrustWardenError `key_reused`, `composition_changed`, and the codes of `issueClass`, `verifyLiveInstance` and `requireLiveSvid`.
 */
export function renew(
  database: SqliteDatabase,
  command: RenewCommand,
  deps: CommandDeps,
): CommandResult<IssuedIdentity> {
  const { instanceId, svidSha256, spki, possession, classKey } = command;
  const now = secondsOf(command.context);
  const { instance, line } = verifyLiveInstance(database, instanceId, now);
  requireOurs(instance, deps.trustDomain);
  requireLiveSvid(database, { svidSha256, instanceId, now });
  requireSameComposition(instance, command.compositionSha256);
  const svid = issueInstanceSvid(database, deps, { instance, spki, now });
  const ofClass = issueClass(database, deps, { instance, classKey, now });
  const chain = formatLine(line);
  return {
    value: { ...formatIdentity({ instance, svid, chain, isShortened: false }), ...ofClass.value },
    draft: {
      kind: "renew",
      allow: true,
      reasons: [],
      subject: instance.spiffeId,
      chain,
      details: {
        agent_id: instance.agentId,
        instance_id: instanceId,
        spiffe_id: instance.spiffeId,
        expires_at: instance.expiresAt,
        renewed_svid_sha256: svidSha256,
        ...formatSvid(svid),
        ...ofClass.details,
        possession,
      },
    },
  };
}
