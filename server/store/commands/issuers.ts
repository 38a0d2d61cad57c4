/** The authorities that issued SVIDs: their revocation lists have to go on for as long as such an SVID may be in use. */
import type { CaCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";

const KEEP = "INSERT INTO issuers (serial, der) VALUES (?, ?) ON CONFLICT DO NOTHING";

/** Remembers the authority of an SVID that is about to be written. */
export function keepIssuer(database: SqliteDatabase, { serialHex, der }: CaCertificate): void {
  database.run(KEEP, serialHex, der);
}
