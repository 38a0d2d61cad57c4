/**
 * Join tokens: secrets that an operator hands to a host, each good for one node, once, for ten minutes at most.
 *
 * Only the digest is kept, so that a copy of the state admits nobody. Used tokens stay until they would have expired and
 * a while longer, so that the second use is told from an unknown token; fifty parallel uses are decided by one row.
 */
import { digestOfJoinToken } from "@trustwarden/core/agentid/enrolment-value.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JoinTokenCommand } from "../registration-ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";

const TOKEN_BYTES = 32;
/** Longer than any clock goes back and than anybody wonders why a token was refused. */
const KEPT_SECONDS = 86_400;

const INSERT = "INSERT INTO join_tokens (token_sha256, name, expires_at) VALUES (?, ?, ?)";
const FIND = "SELECT name, expires_at, used_at FROM join_tokens WHERE token_sha256 = ?";
const USE = "UPDATE join_tokens SET used_at = ? WHERE token_sha256 = ? AND used_at IS NULL";
const REMOVE_ENDED = "DELETE FROM join_tokens WHERE expires_at < ?";

/** A new token; the event names the node it is for, never the token. */
export function createJoinToken(
  database: SqliteDatabase,
  { context, name, ttlSeconds }: JoinTokenCommand,
  deps: CommandDeps,
): CommandResult<{ readonly token: string; readonly expiresAt: number }> {
  const now = secondsOf(context);
  const token = encodeBase64url(deps.random(TOKEN_BYTES));
  const tokenSha256 = digestOfJoinToken(token);
  const expiresAt = now + ttlSeconds;
  database.run(REMOVE_ENDED, now - KEPT_SECONDS);
  database.run(INSERT, tokenSha256, name, expiresAt);
  return {
    value: { token, expiresAt },
    draft: {
      kind: "ticket",
      allow: true,
      reasons: [],
      subject: `node:${name}`,
      chain: [],
      details: { name, token_sha256: tokenSha256, expires_at: expiresAt },
    },
  };
}

/**
 * Uses up a token, and gives the name of the node that it admits.
 *
 * @param now - Unix seconds.
 * @throws TrustWardenError `join_token_invalid`, `join_token_used` or `join_token_expired`.
 */
export function useJoinToken(database: SqliteDatabase, tokenSha256: string, now: number): string {
  const row = database.get(FIND, tokenSha256);
  if (row === undefined) throw new TrustWardenError("join_token_invalid");
  const name = row.text("name");
  if (row.integerOrNull("used_at") !== null) throw new TrustWardenError("join_token_used", { name });
  if (row.integer("expires_at") <= now) throw new TrustWardenError("join_token_expired", { name });
  database.run(USE, now, tokenSha256);
  return name;
}
