/** Agents that wait to be claimed, as rows. */
import { claimWish } from "@trustwarden/core/api/claims.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import type { ClaimReads, ClaimState } from "./claim-ports.ts";
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

/** One that nobody has answered, by the digest of its code. @param query.now - Unix seconds. */
export function findWaitingClaim(
  database: SqliteDatabase,
  { codeSha256, now }: { readonly codeSha256: string; readonly now: number },
): ClaimState | undefined {
  return parseFound(database.get(FIND_WAITING, codeSha256, now));
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
