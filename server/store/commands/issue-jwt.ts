/** Issues a JWT-SVID of a live agent for one audience outside. The event names its `jti`, never the token. */
import { issueJwtSvid } from "@trustwarden/core/agentid/jwt-svid.ts";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { JwtCommand } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";
import { type LiveInstance, verifyLiveInstance } from "./live-instance.ts";
import { spiffeIdOf } from "./svid.ts";
import { prepareToken, requireTokenHolder } from "./svid-token.ts";

/** A bearer token outside our reach must die soon (JWT-SVID §3.3; SPIRE's default). */
const JWT_TTL_SECONDS = 300;

/**
 * @throws TrustWardenError the codes of `verifyLiveInstance`; `instance_unknown` for a verifier; `quota_exceeded` when no
 *   status list has room.
 */
export function issueJwt(
  database: SqliteDatabase,
  command: JwtCommand,
  deps: CommandDeps,
): CommandResult<{ readonly svid: string; readonly expiresAt: number }> {
  const { context, instanceId, audience, identity, statusLists } = command;
  const { instance, line } = verifyLiveInstance(database, instanceId, secondsOf(context));
  const spiffeId = spiffeIdOf(instance, identity);
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
  requireTokenHolder({ instance }, deps);
  const token = prepareToken(database, deps, {
    context,
    instance,
    line,
    statusLists,
    ttlSeconds: JWT_TTL_SECONDS,
  });
  const { jti, expiresAt, chain, claims, status } = token;
  const svid = issueJwtSvid({
    id: parseSpiffeId(spiffeId),
    audience,
    issuer: deps.jwtIssuer,
    kid: deps.jwtKid,
    jti,
    now,
    ttlSeconds: expiresAt - now,
    signer: deps.jwtSigner,
    claims,
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
        status,
      },
    },
  };
}
