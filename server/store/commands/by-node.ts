/**
 * What a node does for the instances that it asked for: further SVIDs, JWT-SVIDs, WIT-SVIDs, and their end.
 *
 * A node may touch no other instance, not even of its own host; what is not its own does not exist for it.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type {
  EntryIdentity,
  NodeEndCommand,
  NodeJwtCommand,
  NodeRenewCommand,
} from "../registration-ports.ts";
import type { Revoked } from "../revocation-ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { findInstance, formatLine, lineOf } from "../sqlite-instance.ts";
import type { IssuedWit, NodeWitCommand } from "../wit-ports.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";
import { requireLiveEntry } from "./entries.ts";
import { formatIdentity } from "./identity.ts";
import { issueClass } from "./issue-class.ts";
import { issueJwtOf } from "./issue-jwt.ts";
import { issueWitOf } from "./issue-wit.ts";
import {
  type LiveInstance,
  requireLiveLine,
  requireLiveSvid,
  requireSameComposition,
  verifyLiveNode,
} from "./live-instance.ts";
import { revoke } from "./revoke.ts";
import { formatSvid, issueInstanceSvid, spiffeIdOf } from "./svid.ts";

/** The members that every command of a node has. */
type NodeCommand = Pick<NodeEndCommand, "context" | "nodeInstanceId" | "nodeSvidSha256" | "instanceId">;

/**
 * Further SVIDs of an instance, while the entry that it was born of stands.
 *
 * @throws TrustWardenError `not_found`, `composition_changed`, `key_reused`, and the codes of liveness and
 *   `requireLiveEntry`.
 */
export function renewByNode(
  database: SqliteDatabase,
  command: NodeRenewCommand,
  deps: CommandDeps,
): CommandResult<EntryIdentity> {
  const { context, instanceId, svidSha256, key, classKey, compositionSha256 } = command;
  const now = secondsOf(context);
  const { instance, line } = verifyOwn(database, command);
  requireLiveSvid(database, { svidSha256, instanceId, now });
  requireSameComposition(instance, compositionSha256);
  const { entryId, document } = requireLiveEntry(database, instance.entryId ?? "", now);
  const svid = issueInstanceSvid(database, deps, { instance, spki: key.spki, now });
  const ofClass = issueClass(database, deps, { instance, classKey, now });
  const chain = formatLine(line);
  const identity = formatIdentity({ instance, svid, chain, isShortened: false });
  return {
    value: { ...identity, ...ofClass.value, entryId, hint: document.hint },
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
        possession: key.possession,
      },
    },
  };
}

/** @throws TrustWardenError `not_found`, and the codes of liveness and `requireLiveEntry`. */
export function issueJwtByNode(
  database: SqliteDatabase,
  command: NodeJwtCommand,
  deps: CommandDeps,
): CommandResult<{ readonly svid: string; readonly expiresAt: number; readonly spiffeId: string }> {
  const { context, audiences: audience, identity, statusLists } = command;
  const live = verifyOwn(database, command);
  requireLiveEntry(database, live.instance.entryId ?? "", secondsOf(context));
  const spiffeId = spiffeIdOf(live.instance, identity);
  const { value, draft } = issueJwtOf(database, deps, {
    context,
    ...live,
    spiffeId,
    audience,
    statusLists,
  });
  return { value: { ...value, spiffeId }, draft };
}

/** @throws TrustWardenError as `issueWit`; `not_found`, and the codes of `requireLiveEntry`. */
export function issueWitByNode(
  database: SqliteDatabase,
  command: NodeWitCommand,
  deps: CommandDeps,
): CommandResult<IssuedWit> {
  const live = verifyOwn(database, command);
  requireLiveEntry(database, live.instance.entryId ?? "", secondsOf(command.context));
  const spiffeId = spiffeIdOf(live.instance, command.identity);
  return issueWitOf(database, deps, { ...command, ...live, spiffeId });
}

/** The end of an instance whose workload is gone. @throws TrustWardenError `not_found`, and the codes of liveness. */
export function endByNode(database: SqliteDatabase, command: NodeEndCommand): CommandResult<Revoked> {
  const { context, instanceId, reason } = command;
  verifyNode(database, command);
  const instance = findInstance(database, instanceId);
  if (instance?.nodeInstanceId !== command.nodeInstanceId) throw notOwn();
  return revoke(database, { context, target: { kind: "instance", id: instanceId }, reason });
}

function verifyOwn(database: SqliteDatabase, command: NodeCommand): LiveInstance {
  verifyNode(database, command);
  const { instanceId, nodeInstanceId, context } = command;
  const line = lineOf(database, instanceId);
  if (line.at(-1)?.nodeInstanceId !== nodeInstanceId) throw notOwn();
  return requireLiveLine(line, instanceId, secondsOf(context));
}

function verifyNode(database: SqliteDatabase, command: NodeCommand): void {
  const { context, nodeInstanceId, nodeSvidSha256 } = command;
  verifyLiveNode(database, { nodeInstanceId, nodeSvidSha256, now: secondsOf(context) });
}

function notOwn(): TrustWardenError {
  return new TrustWardenError("not_found", { kind: "instance" });
}
