/** Upstreams as rows: read alike by the command and by the plain reads. */
import { parseUpstreamName, UPSTREAM_KINDS } from "@trustwarden/core/gateway/upstream.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import type { UpstreamState } from "./gateway-ports.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";

const LIST = "SELECT * FROM upstreams ORDER BY name";

/** Every upstream, by name. */
export function listUpstreams(database: SqliteDatabase): readonly UpstreamState[] {
  return database.all(LIST).map(parseUpstream);
}

function parseUpstream(row: Row): UpstreamState {
  const kind = UPSTREAM_KINDS.find((known) => known === row.text("kind"));
  if (kind === undefined) throw new Error("the table admits known kinds only");
  return {
    name: parseUpstreamName(row.text("name")),
    kind,
    url: row.text("url"),
    ca: row.textOrNull("ca"),
    allowPrivate: row.integer("allow_private") === 1,
    secret: row.textOrNull("secret"),
    settings: parseJsonObject(row.text("settings")),
    changedAt: row.integer("changed_at"),
  };
}
