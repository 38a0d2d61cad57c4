/** What was offered and waits: read for people to see, never to act on. */
import { claimWish } from "@trustwarden/core/api/claims.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { parseRoles } from "@trustwarden/core/role.ts";
import type { OfferReads, WaitingClaim, WaitingInvitation, WaitingTransfer } from "./offer-ports.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";

/** `id` has what was offered, after the document's own id. A stop of the agent withdraws its offer. */
const TRANSFERS = `
  SELECT claims.issuer AS giver, claims.id AS id, claims.expires_at AS expires_at FROM claims
  JOIN agents ON agents.agent_id = substr(claims.id, -61, 30) AND agents.owner_id = claims.issuer
  WHERE claims.kind = 'transfer-waits' AND claims.expires_at > ? AND agents.is_revoked = 0
  ORDER BY claims.expires_at LIMIT ?`;
const CLAIMS = `
  SELECT claim_id, wish, expires_at FROM claim_codes WHERE owner_id IS NULL AND expires_at > ?
  ORDER BY expires_at LIMIT ?`;
const LINKS = `
  SELECT roles, person_id, created_by, expires_at FROM person_links WHERE used_at IS NULL AND expires_at > ?
  ORDER BY expires_at LIMIT ?`;

/** The reads of offers. */
export function createOfferReads(database: SqliteDatabase): OfferReads {
  return {
    listWaitingTransfers: ({ now, limit }) => database.all(TRANSFERS, now, limit).map(parseTransfer),
    listWaitingClaims: ({ now, limit }) => database.all(CLAIMS, now, limit).map(parseClaim),
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
