/** Catalogues of MCP upstreams as rows: read alike by the commands and by the plain reads. */
import { DEFINITION_KINDS } from "@trustwarden/core/gateway/mcp/definition.ts";
import type { PinState } from "./mcp-ports.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";

const LIST = "SELECT * FROM mcp_pins WHERE upstream = ? ORDER BY kind, name";

/** The catalogue of an upstream, by kind and name. */
export function listPins(database: SqliteDatabase, upstream: string): readonly PinState[] {
  return database.all(LIST, upstream).map(parsePin);
}

function parsePin(row: Row): PinState {
  const kind = DEFINITION_KINDS.find((known) => known === row.text("kind"));
  if (kind === undefined) throw new Error("the table admits known kinds only");
  return {
    upstream: row.text("upstream"),
    kind,
    name: row.text("name"),
    approved: versionOf(row.textOrNull("approved_sha256"), row.textOrNull("approved_document")),
    seen: versionOf(row.textOrNull("seen_sha256"), row.textOrNull("seen_document")),
    changedAt: row.integer("changed_at"),
  };
}

function versionOf(sha256: string | null, document: string | null): PinState["seen"] {
  return sha256 === null || document === null ? null : { sha256, document };
}
