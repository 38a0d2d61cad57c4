/** Agents that wait to be claimed, as rows. */
import { claimWish } from "@trustwarden/core/api/claims.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import type { ClaimReads, ClaimState, WaitingClaimQuery } from "./claim-ports.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";

const FIND = "SELECT * FROM claim_codes WHERE claim_id = ? AND expires_at > ?";
const FIND_WAITING =
  "SELECT * FROM claim_codes WHERE code_sha256 = ? AND owner_id IS NULL AND expires_at > ?";

/** The reads of claims. */
export function createClaimReads(database: SqliteDatabase): ClaimReads {
  return {
    findClaim: ({ claimId, now }) => parseFound(database.get(FIND, claimId, now)),
    findWaitingClaim: (query) => findWaitingClaim(database, query),
  };
}

/** One that nobody has answered. Who is not the one it waits for learns no more than who has no code. */
export function findWaitingClaim(
  database: SqliteDatabase,
  { codeSha256, ownerId, now }: WaitingClaimQuery,
): ClaimState | undefined {
  const claim = parseFound(database.get(FIND_WAITING, codeSha256, now));
  return claim?.wish.owner === null || claim?.wish.owner === ownerId ? claim : undefined;
}

function parseFound(row: Row | undefined): ClaimState | undefined {
  if (row === undefined) return undefined;
  const ownerId = row.textOrNull("owner_id");
  const ticket = row.textOrNull("ticket");
  return {
    claimId: row.text("claim_id"),
    thumbprint: row.text("thumbprint"),
    wish: claimWish.parse(parseJsonObject(row.text("wish"))),
    expiresAt: row.integer("expires_at"),
    answer: ownerId === null || ticket === null ? null : { ownerId, ticket },
  };
}
