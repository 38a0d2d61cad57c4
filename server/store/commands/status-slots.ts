/**
 * The places of JWT-SVIDs in the token status lists, and the lists themselves.
 *
 * A place is drawn at random, so that its number tells nothing of when a token was issued. It is used again only when the
 * token has ended *and* no list that names it void is in force any more: otherwise the next token would be born void.
 */
import { deflateSync } from "node:zlib";
import {
  encodeStatusBits,
  issueStatusListToken,
  STATUS_LIST_SIZE,
} from "@trustwarden/core/agentid/status-list.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { IssuedStatusList } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import type { CommandDeps } from "./deps.ts";
import { readEpoch } from "./epoch.ts";

/** How long a list may be believed: no longer than the tokens that it speaks of live. */
const LIST_TTL_SECONDS = 300;
/** When a relying party should look again. */
const LIST_MAX_AGE_SECONDS = 30;
/** Four million tokens in use at once, at five minutes each; more is an attack. */
const MAX_PAGES = 64;
/** A list that is half full refuses one token in 256, which then goes to the next. */
const TRIES_PER_PAGE = 8;
/** Removed with each new token, so that the table stays as small as what is in use. */
const MAX_REMOVED = 16;

const TAKE = `
  INSERT INTO status_slots (page, slot, instance_id, expires_at) VALUES (?, ?, ?, ?)
  ON CONFLICT (page, slot) DO UPDATE SET instance_id = excluded.instance_id, expires_at = excluded.expires_at
  WHERE expires_at < ?`;
const REMOVE_ENDED = `
  DELETE FROM status_slots WHERE (page, slot) IN
    (SELECT page, slot FROM status_slots WHERE expires_at < ? ORDER BY expires_at LIMIT ${MAX_REMOVED})`;
const HAS_PAGE = "SELECT 1 AS found FROM status_slots WHERE page = ? LIMIT 1";
/**
 * Starts from the latest revocations: a revoked instance gets no further token, so older ones have none in use. An
 * access token is also void by itself, and with the instance in whose name it acts.
 */
const LIST_INVALID = `
  SELECT status_slots.slot FROM revocations
  JOIN instances ON instances.revoked_epoch = revocations.epoch
  JOIN status_slots ON status_slots.instance_id = instances.instance_id
  WHERE revocations.revoked_at >= ? AND status_slots.page = ? AND status_slots.expires_at > ?
  UNION
  SELECT access_tokens.slot FROM access_tokens
  JOIN instances ON instances.instance_id = access_tokens.subject_instance_id
  WHERE access_tokens.page = ? AND access_tokens.expires_at > ?
    AND (access_tokens.revoked_at IS NOT NULL OR instances.revoked_epoch IS NOT NULL)
  ORDER BY 1`;

/** A place in a list. */
export interface StatusSlot {
  readonly page: number;
  readonly index: number;
}

/**
 * A place for a token that is about to be issued.
 *
 * @param options.expiresAt - Unix seconds, of the token.
 * @throws TrustWardenError `quota_exceeded` when no list has room.
 */
export function claimStatusSlot(
  database: SqliteDatabase,
  deps: CommandDeps,
  options: { readonly instanceId: string; readonly expiresAt: number; readonly now: number },
): StatusSlot {
  const { instanceId, expiresAt, now } = options;
  const freeSince = now - LIST_TTL_SECONDS;
  database.run(REMOVE_ENDED, freeSince);
  for (let attempt = 0; attempt < MAX_PAGES * TRIES_PER_PAGE; attempt += 1) {
    const page = Math.floor(attempt / TRIES_PER_PAGE);
    const [high = 0, low = 0] = deps.random(2);
    const index = (high * 256 + low) % STATUS_LIST_SIZE;
    const { changes } = database.run(TAKE, page, index, instanceId, expiresAt, freeSince);
    if (changes === 1) return { page, index };
  }
  throw new TrustWardenError("quota_exceeded", { quota: "statusLists", limit: MAX_PAGES });
}

export interface IssueStatusListCommand {
  /** Unix milliseconds, read by the caller at the edge. */
  readonly nowMs: number;
  readonly page: number;
  /** Where the list is read. */
  readonly uri: string;
}

/**
 * A fresh list: void is each token in use whose instance was revoked.
 *
 * @throws TrustWardenError `not_found` for a list that no token in use names; the first is always there.
 */
export function issueStatusList(
  database: SqliteDatabase,
  { nowMs, page, uri }: IssueStatusListCommand,
  deps: CommandDeps,
): IssuedStatusList {
  const now = Math.floor(nowMs / 1000);
  if (page !== 0 && database.get(HAS_PAGE, page) === undefined) {
    throw new TrustWardenError("not_found", { kind: "status list" });
  }
  const rows = database.all(LIST_INVALID, now - LIST_TTL_SECONDS, page, now, page, now);
  const token = issueStatusListToken({
    uri,
    lst: deflateSync(encodeStatusBits(rows.map((row) => row.integer("slot"))), { level: 9 }),
    kid: deps.jwtKid,
    signer: deps.jwtSigner,
    now,
    ttlSeconds: LIST_TTL_SECONDS,
    maxAgeSeconds: LIST_MAX_AGE_SECONDS,
  });
  return { epoch: readEpoch(database), issuedAt: now, ttlSeconds: LIST_TTL_SECONDS, token };
}
