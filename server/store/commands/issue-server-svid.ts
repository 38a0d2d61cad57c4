/**
 * Issues the server's own SVID, at start and at each half life. The server's id is made once and kept; its key may
 * stay over renewals, which no agent's may.
 */
import { formatSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { PolicyReference } from "@trustwarden/core/decision.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import type { CommandContext, ServerSvid } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { claimOwnKey } from "./claims.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";
import { formatSvid, issueSvid } from "./svid.ts";

const SVID_TTL_SECONDS = 3600;
const HOLDER = "server";

const FIND_ID = "SELECT value FROM meta WHERE name = 'server_id'";
const KEEP_ID = "INSERT INTO meta (name, value) VALUES ('server_id', ?)";
const INSERT = "INSERT INTO server_svids (svid_sha256, spki_sha256, not_after) VALUES (?, ?, ?)";
const REMOVE_ENDED = "DELETE FROM server_svids WHERE not_after < ?";

export interface IssueServerSvidCommand {
  readonly context: CommandContext;
  readonly reason: "start" | "renew";
  /** The built-in policy that decides from here on; what decisions name it by is then in the ledger itself. */
  readonly policy?: PolicyReference;
}

/** @throws TrustWardenError `key_reused` when the server's key was somebody else's, or `authority_expired`. */
export function issueServerSvid(
  database: SqliteDatabase,
  { context, reason, policy }: IssueServerSvidCommand,
  deps: CommandDeps,
): CommandResult<ServerSvid> {
  const now = secondsOf(context);
  claimOwnKey(database, deps.serverKeySha256, HOLDER);
  const spiffeId = formatSpiffeId(deps.trustDomain, [
    "trustwarden",
    "server",
    serverIdOf(database, deps, context),
  ]);
  const svid = issueSvid(deps, { spiffeId, spki: deps.serverSpki, now, notAfter: now + SVID_TTL_SECONDS });
  database.run(REMOVE_ENDED, now);
  database.run(INSERT, svid.sha256, deps.serverKeySha256, svid.expiresAt);
  deps.ownSvids.set(svid.sha256, null);
  return {
    value: { spiffeId, svidChain: svid.chain, svidSha256: svid.sha256, expiresAt: svid.expiresAt },
    draft: {
      kind: reason,
      allow: true,
      reasons: [],
      subject: spiffeId,
      chain: [],
      details: {
        spiffe_id: spiffeId,
        ...formatSvid(svid),
        ...(policy === undefined
          ? {}
          : { policy: { name: policy.name, bundle_sha256: policy.bundleSha256 } }),
      },
    },
  };
}

function serverIdOf(database: SqliteDatabase, deps: CommandDeps, context: CommandContext): string {
  const known = database.get(FIND_ID)?.text("value");
  if (known !== undefined) return known;
  const id = formatUlid(context.nowMs, deps.random);
  database.run(KEEP_ID, id);
  return id;
}
