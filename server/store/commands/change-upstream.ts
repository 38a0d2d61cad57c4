/**
 * Registers, replaces and removes what is behind the gateway.
 *
 * The event carries the whole document, so that an auditor can say years later what an action's words meant.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatCanonicalJson, type JsonObject } from "@trustwarden/core/json.ts";
import type { UpstreamCommand, UpstreamDocument, UpstreamState } from "../gateway-ports.ts";
import { listUpstreams } from "../gateway-rows.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { type CommandResult, secondsOf } from "./deps.ts";

/** Each is held in memory, and agents read the list. */
const MAX_UPSTREAMS = 1000;

const PUT = `
  INSERT INTO upstreams (name, kind, url, ca, allow_private, secret, settings, changed_at)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, url = excluded.url, ca = excluded.ca,
    allow_private = excluded.allow_private, secret = excluded.secret, settings = excluded.settings,
    changed_at = excluded.changed_at`;
const REMOVE = "DELETE FROM upstreams WHERE name = ?";

/** @throws TrustWardenError as `GatewayCommands.changeUpstream`. */
export function changeUpstream(
  database: SqliteDatabase,
  command: UpstreamCommand,
): CommandResult<UpstreamState | null> {
  const before = listUpstreams(database);
  const name = command.change === "set" ? command.upstream.name : command.name;
  const known = before.find((upstream) => upstream.name === name);
  if (command.change === "removal") {
    if (known === undefined) throw new TrustWardenError("not_found", { upstream: name });
    database.run(REMOVE, name);
  } else {
    if (known === undefined && before.length >= MAX_UPSTREAMS)
      throw new TrustWardenError("quota_exceeded", { limit: MAX_UPSTREAMS });
    put(database, command.upstream, secondsOf(command.context));
  }
  return {
    value: listUpstreams(database).find((upstream) => upstream.name === name) ?? null,
    draft: {
      kind: "upstream",
      allow: true,
      reasons: [],
      subject: `upstream:${name}`,
      chain: [],
      details: {
        change: command.change,
        name,
        ...(command.change === "set" ? describe(command.upstream) : {}),
      },
    },
  };
}

function put(database: SqliteDatabase, upstream: UpstreamDocument, now: number): void {
  const { name, kind, url, ca, allowPrivate, secret, settings } = upstream;
  database.run(PUT, name, kind, url, ca, allowPrivate ? 1 : 0, secret, formatCanonicalJson(settings), now);
}

function describe({ kind, url, ca, allowPrivate, secret, settings }: UpstreamDocument): JsonObject {
  return { kind, url, ca, allow_private: allowPrivate, secret, settings };
}
