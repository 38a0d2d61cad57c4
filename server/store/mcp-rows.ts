/** Catalogues of MCP upstreams as rows: read alike by the commands and by the plain reads. */
import { DEFINITION_KINDS } from "@trustwarden/core/gateway/mcp/definition.ts";
import type { PinState } from "./mcp-ports.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";

/** A removed upstream takes its catalogue with it: another of that name begins with nothing approved. */
export const MCP_TABLES = `
  CREATE TABLE mcp_pins (
    upstream TEXT NOT NULL REFERENCES upstreams (name) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN (${DEFINITION_KINDS.map((kind) => `'${kind}'`).join(", ")})),
    name TEXT NOT NULL,
    approved_sha256 TEXT,
    approved_document TEXT,
    seen_sha256 TEXT,
    seen_document TEXT,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (upstream, kind, name),
    CHECK ((approved_sha256 IS NULL) = (approved_document IS NULL)),
    CHECK ((seen_sha256 IS NULL) = (seen_document IS NULL)),
    CHECK (approved_sha256 IS NOT NULL OR seen_sha256 IS NOT NULL)
  ) STRICT, WITHOUT ROWID;
`;

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
