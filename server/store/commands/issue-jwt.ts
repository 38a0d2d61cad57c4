/** Issues a JWT-SVID of a live agent for one audience outside. The event names its `jti`, never the token. */
import { issueJwtSvid } from "@trustwarden/core/agentid/jwt-svid.ts";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { formatStatusClaim } from "@trustwarden/core/agentid/status-list.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { formatCanonicalJson } from "@trustwarden/core/json.ts";
import type { JwtCommand } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { formatLine } from "../sqlite-instance.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";
import { type LiveInstance, requireOurs, verifyLiveInstance } from "./live-instance.ts";
import { claimStatusSlot } from "./status-slots.ts";

/** A bearer token outside our reach must die soon (JWT-SVID §3.3; SPIRE's default). */
const JWT_TTL_SECONDS = 300;
/** Collision-resistant by its domain (JWT-SVID §3); a digest, so that the token does not tell the family tree. */
export const CHAIN_CLAIM = "https://trustwarden.dev/claims/chain_sha256";

/**
 * @throws TrustWardenError the codes of `verifyLiveInstance`; `instance_unknown` for a verifier; `quota_exceeded` when no
 *   status list has room.
 */
export function issueJwt(
  database: SqliteDatabase,
  command: JwtCommand,
  deps: CommandDeps,
): CommandResult<{ readonly svid: string; readonly expiresAt: number }> {
  const { context, instanceId, audience, statusLists } = command;
  const { instance, line } = verifyLiveInstance(database, instanceId, secondsOf(context));
  const { spiffeId } = instance;
  return issueJwtOf(database, deps, { context, instance, line, spiffeId, audience, statusLists });
}

/**
 * A JWT-SVID of an instance that was found alive in this transaction, in its own name or its class's.
 *
 * @throws TrustWardenError `instance_unknown` for who is no agent.
 */
export function issueJwtOf(
  database: SqliteDatabase,
  deps: CommandDeps,
  options: LiveInstance &
    Pick<JwtCommand, "context" | "statusLists"> & {
      readonly spiffeId: string;
      readonly audience: string | readonly [string, ...string[]];
    },
): CommandResult<{ readonly svid: string; readonly expiresAt: number }> {
  const { context, instance, line, spiffeId, audience, statusLists } = options;
  const { instanceId } = instance;
  const now = secondsOf(context);
  if (instance.kind !== "agent") throw new TrustWardenError("instance_unknown", { instanceId });
  requireOurs(instance, deps.trustDomain);
  const chain = formatLine(line);
  const jti = formatUlid(context.nowMs, deps.random);
  const expiresAt = Math.min(now + JWT_TTL_SECONDS, instance.expiresAt);
  const { page, index } = claimStatusSlot(database, deps, { instanceId, expiresAt, now });
  const uri = `${statusLists}/${page}`;
  const svid = issueJwtSvid({
    id: parseSpiffeId(spiffeId),
    audience,
    issuer: deps.jwtIssuer,
    kid: deps.jwtKid,
    jti,
    now,
    ttlSeconds: expiresAt - now,
    signer: deps.jwtSigner,
    claims: {
      [CHAIN_CLAIM]: encodeBase64url(sha256(encodeUtf8(formatCanonicalJson(chain)))),
      status: formatStatusClaim({ uri, index }),
    },
  });
  return {
    value: { svid, expiresAt },
    draft: {
      kind: "jwt",
      allow: true,
      reasons: [],
      subject: spiffeId,
      chain,
      details: {
        agent_id: instance.agentId,
        instance_id: instanceId,
        audience: typeof audience === "string" ? audience : [...audience],
        jti,
        kid: deps.jwtKid,
        expires_at: expiresAt,
        status: `${uri}#${index}`,
      },
    },
  };
}
