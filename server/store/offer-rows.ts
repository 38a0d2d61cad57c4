/** What was offered and waits: read for people to see, never to act on. */
import { claimWish } from "@trustwarden/core/api/claims.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { parseRoles } from "@trustwarden/core/role.ts";
import type { OfferReads, WaitingClaim, WaitingInvitation, WaitingTransfer } from "./offer-ports.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";

/** `id` has what was offered, after the document's own id: agent, then taker. A stop of the agent withdraws its offer. */
const TRANSFERS = `
  SELECT claims.issuer AS giver, claims.id AS id, claims.expires_at AS expires_at FROM claims
  JOIN agents ON agents.agent_id = substr(claims.id, -61, 30) AND agents.owner_id = claims.issuer
  WHERE claims.kind = 'transfer-waits' AND claims.expires_at > ?1 AND agents.is_revoked = 0
    AND (?3 IS NULL OR ?3 IN (claims.issuer, substr(claims.id, -30)))
  ORDER BY claims.expires_at LIMIT ?2`;
const CLAIMS = `
  SELECT claim_id, wish, expires_at FROM claim_codes
  WHERE owner_id IS NULL AND expires_at > ?1 AND (?3 IS NULL OR ?3 = json_extract(wish, '$.owner'))
  ORDER BY expires_at LIMIT ?2`;
const LINKS = `
  SELECT roles, person_id, created_by, expires_at FROM person_links WHERE used_at IS NULL AND expires_at > ?
  ORDER BY expires_at LIMIT ?`;

/** The reads of offers. */
export function createOfferReads(database: SqliteDatabase): OfferReads {
  return {
    listWaitingTransfers: ({ now, limit, ownerId }) =>
      database.all(TRANSFERS, now, limit, ownerId).map(parseTransfer),
    listWaitingClaims: ({ now, limit, ownerId }) => database.all(CLAIMS, now, limit, ownerId).map(parseClaim),
    listInvitations: ({ now, limit }) => database.all(LINKS, now, limit).map(parseLink),
  };
}

function parseTransfer(row: Row): WaitingTransfer {
  const [, agentId = "", to = ""] = row.text("id").split(" ");
  return { agentId, from: row.text("giver"), to, expiresAt: row.integer("expires_at") };
}

function parseClaim(row: Row): WaitingClaim {
  const { path, name, owner } = claimWish.parse(parseJsonObject(row.text("wish")));
  return { claimId: row.text("claim_id"), path, name, ownerId: owner, expiresAt: row.integer("expires_at") };
}

function parseLink(row: Row): WaitingInvitation {
  return {
    roles: parseRoles(row.text("roles").split(" ")),
    personId: row.textOrNull("person_id"),
    createdBy: row.textOrNull("created_by"),
    expiresAt: row.integer("expires_at"),
  };
}
