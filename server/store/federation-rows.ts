/** Relationships with other trust domains as rows: read alike by the command and by the plain reads. */
import type { FederationEndpoint } from "@trustwarden/core/agentid/federation.ts";
import { parseSpiffeId, parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { FederationState } from "./federation-ports.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";

const FIND_FOREIGN = "SELECT instance_id FROM foreign_agents WHERE spiffe_id = ?";
const LIST = "SELECT * FROM federations ORDER BY trust_domain";

/** Every relationship, by trust domain. */
export function listFederations(database: SqliteDatabase): readonly FederationState[] {
  return database.all(LIST).map(parseFederation);
}

/** The instance that a foreign SPIFFE ID was registered as last, alive or not. */
export function findForeignInstance(database: SqliteDatabase, spiffeId: string): string | undefined {
  return database.get(FIND_FOREIGN, spiffeId)?.text("instance_id");
}

function parseFederation(row: Row): FederationState {
  return {
    trustDomain: parseTrustDomain(row.text("trust_domain")),
    endpoint: parseEndpoint(row),
    bundle: row.textOrNull("bundle"),
    createdAt: row.integer("created_at"),
    changedAt: row.integerOrNull("changed_at"),
  };
}

function parseEndpoint(row: Row): FederationEndpoint | null {
  const url = row.textOrNull("url");
  if (url === null) return null;
  return row.text("profile") === "https_web"
    ? { profile: "https_web", url, webCa: row.textOrNull("web_ca") }
    : { profile: "https_spiffe", url, spiffeId: parseSpiffeId(row.text("endpoint_spiffe_id")) };
}
