/**
 * What every token of an instance has alike, of whichever profile: an id, an end, its place in a status list, and the
 * digest of the chain it comes from.
 */
import { formatStatusClaim } from "@trustwarden/core/agentid/status-list.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { formatCanonicalJson, type JsonObject } from "@trustwarden/core/json.ts";
import type { JwtCommand } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { formatLine } from "../sqlite-instance.ts";
import { type CommandDeps, secondsOf } from "./deps.ts";
import { type LiveInstance, requireOurs } from "./live-instance.ts";
import { claimStatusSlot } from "./status-slots.ts";

/** Collision-resistant by its domain (JWT-SVID §3); a digest, so that the token does not tell the family tree. */
const CHAIN_CLAIM = "https://trustwarden.dev/claims/chain_sha256";

/** A token before it is signed. */
export interface TokenBasis {
  readonly jti: string;
  /** Unix seconds. */
  readonly expiresAt: number;
  /** `owner:<id>`, then agent ids from the root down. */
  readonly chain: readonly string[];
  /** Ours, in every profile. */
  readonly claims: JsonObject;
  /** `<list>#<place>`, as the event says it. */
  readonly status: string;
}

/** @throws TrustWardenError `instance_unknown` for who is no agent of this trust domain. */
export function requireTokenHolder({ instance }: Pick<LiveInstance, "instance">, deps: CommandDeps): void {
  const { kind, instanceId } = instance;
  if (kind !== "agent") throw new TrustWardenError("instance_unknown", { instanceId });
  requireOurs(instance, deps.trustDomain);
}

/** Takes a place in a status list; the token must be issued in this transaction. @throws TrustWardenError `quota_exceeded`. */
export function prepareToken(
  database: SqliteDatabase,
  deps: CommandDeps,
  options: LiveInstance & Pick<JwtCommand, "context" | "statusLists"> & { readonly ttlSeconds: number },
): TokenBasis {
  const { context, instance, line, statusLists, ttlSeconds } = options;
  const { instanceId } = instance;
  const now = secondsOf(context);
  const chain = formatLine(line);
  const jti = formatUlid(context.nowMs, deps.random);
  const expiresAt = Math.min(now + ttlSeconds, instance.expiresAt);
  const { page, index } = claimStatusSlot(database, deps, { instanceId, expiresAt, now });
  const uri = `${statusLists}/${page}`;
  return {
    jti,
    expiresAt,
    chain,
    claims: {
      [CHAIN_CLAIM]: encodeBase64url(sha256(encodeUtf8(formatCanonicalJson(chain)))),
      status: formatStatusClaim({ uri, index }),
    },
    status: `${uri}#${index}`,
  };
}
