/**
 * Issues a WIT-SVID: a live agent's token for a key of which it has proven possession. The event names its `jti` and the
 * key's thumbprint, never the token.
 *
 * A key may be named by more tokens of the same instance, so that renewing a token every few minutes does not register a
 * key each time; nobody else ever gets a token for it.
 *
 * @see WIT-SVID §3; docs/decisions/0024-wit-svids.md
 */
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { issueWitSvid } from "@trustwarden/core/agentid/wit-svid.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { formatThumbprint, parseP256PublicKey, sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import type { IssuedWit, WitCommand, WitKeyCommand } from "../wit-ports.ts";
import { claimOwnKey } from "./claims.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";
import { type LiveInstance, requireLiveSvid, verifyLiveInstance } from "./live-instance.ts";
import { spiffeIdOf } from "./svid.ts";
import { prepareToken, requireTokenHolder } from "./svid-token.ts";

/** As long as a status list may be believed: what is revoked is void everywhere within it. */
const WIT_TTL_SECONDS = 300;

/**
 * @throws TrustWardenError the codes of `verifyLiveInstance` and `requireLiveSvid`; `instance_unknown` for who is no agent;
 *   `wit_disabled`, `key_reused`, `public_key_refused`, `quota_exceeded`.
 */
export function issueWit(
  database: SqliteDatabase,
  command: WitCommand,
  deps: CommandDeps,
): CommandResult<IssuedWit> {
  const live = verifyLiveInstance(database, command.instanceId, secondsOf(command.context));
  return issueWitOf(database, deps, {
    ...command,
    ...live,
    spiffeId: spiffeIdOf(live.instance, command.identity),
  });
}

/** As `issueWit`, for an instance that was found alive in this transaction, in its own name or its class's. */
export function issueWitOf(
  database: SqliteDatabase,
  deps: CommandDeps,
  options: LiveInstance & WitKeyCommand & { readonly spiffeId: string },
): CommandResult<IssuedWit> {
  const { context, instance, line, spiffeId, svidSha256, key, statusLists } = options;
  const { instanceId } = instance;
  const now = secondsOf(context);
  requireTokenHolder({ instance }, deps);
  requireLiveSvid(database, { svidSha256, instanceId, now });
  const { wit } = deps;
  if (wit === null) throw new TrustWardenError("wit_disabled");
  claimOwnKey(database, encodeBase64url(sha256(key.spki)), instanceId);
  const confirmationKey = parseP256PublicKey(key.spki);
  const token = prepareToken(database, deps, {
    context,
    instance,
    line,
    statusLists,
    ttlSeconds: WIT_TTL_SECONDS,
  });
  const { jti, expiresAt, chain, claims, status } = token;
  const svid = issueWitSvid({
    id: parseSpiffeId(spiffeId),
    confirmationKey,
    kid: wit.kid,
    jti,
    now,
    ttlSeconds: expiresAt - now,
    signer: wit.signer,
    claims,
  });
  return {
    value: { svid, expiresAt, spiffeId },
    draft: {
      kind: "wit",
      allow: true,
      reasons: [],
      subject: spiffeId,
      chain,
      details: {
        agent_id: instance.agentId,
        instance_id: instanceId,
        svid_sha256: svidSha256,
        confirmation_thumbprint: formatThumbprint(confirmationKey),
        possession: key.possession,
        jti,
        kid: wit.kid,
        expires_at: expiresAt,
        status,
      },
    },
  };
}
