/**
 * Keeps the catalogue of an MCP upstream: what it was seen to offer, and what an operator approved of that.
 *
 * The events carry the digests of before and after, so that the ledger tells what a tool said when it was approved and
 * that it says something else now (F5). The words themselves stay in the store.
 */

import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { DefinitionKind } from "@trustwarden/core/gateway/mcp/definition.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { listUpstreams } from "../gateway-rows.ts";
import { type ApproveCommand, MAX_MCP_CHANGES, type ObserveCommand, type PinState } from "../mcp-ports.ts";
import { listPins } from "../mcp-rows.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { type CommandResult, secondsOf } from "./deps.ts";

/** A longer name is clipped in the event; the digest says which definition is meant. */
const MAX_NAME_CHARS = 64;

const SEE = `
  INSERT INTO mcp_pins (upstream, kind, name, seen_sha256, seen_document, changed_at) VALUES (?, ?, ?, ?, ?, ?)
  ON CONFLICT (upstream, kind, name) DO UPDATE SET
    seen_sha256 = excluded.seen_sha256, seen_document = excluded.seen_document, changed_at = excluded.changed_at`;
const FORGET = `
  UPDATE mcp_pins SET seen_sha256 = NULL, seen_document = NULL, changed_at = ?
  WHERE upstream = ? AND kind = ? AND name = ?`;
const DROP = "DELETE FROM mcp_pins WHERE upstream = ? AND kind = ? AND name = ?";
const APPROVE = `
  UPDATE mcp_pins SET approved_sha256 = seen_sha256, approved_document = seen_document, changed_at = ?
  WHERE upstream = ? AND kind = ? AND name = ?`;
const WITHDRAW = `
  UPDATE mcp_pins SET approved_sha256 = NULL, approved_document = NULL, changed_at = ?
  WHERE upstream = ? AND kind = ? AND name = ?`;

type Key = { readonly kind: DefinitionKind; readonly name: string };

/** @throws TrustWardenError as `McpCommands.observeMcp`. */
export function observeMcp(
  database: SqliteDatabase,
  command: ObserveCommand,
): CommandResult<readonly PinState[]> {
  const { upstream, definitions, kinds } = command;
  requireUpstream(database, upstream);
  const now = secondsOf(command.context);
  const before = listPins(database, upstream);
  const changed = definitions
    .filter((definition) => find(before, definition)?.seen?.sha256 !== definition.sha256)
    .slice(0, MAX_MCP_CHANGES);
  for (const { kind, name, sha256, document } of changed)
    database.run(SEE, upstream, kind, name, sha256, document, now);
  const gone = before.filter(
    (pin) =>
      pin.seen !== null && kinds.includes(pin.kind) && !definitions.some((other) => isSame(pin, other)),
  );
  for (const { kind, name, approved } of gone.slice(0, MAX_MCP_CHANGES - changed.length)) {
    if (approved === null) database.run(DROP, upstream, kind, name);
    else database.run(FORGET, now, upstream, kind, name);
  }
  return resultOf(database, { change: "mcp_seen", upstream, before });
}

/** @throws TrustWardenError as `McpCommands.approveMcp`. */
export function approveMcp(
  database: SqliteDatabase,
  command: ApproveCommand,
): CommandResult<readonly PinState[]> {
  const { upstream, approve, withdraw } = command;
  requireUpstream(database, upstream);
  if (approve.length + withdraw.length > MAX_MCP_CHANGES)
    throw new TrustWardenError("request_too_large", { maxItems: MAX_MCP_CHANGES });
  const now = secondsOf(command.context);
  const before = listPins(database, upstream);
  for (const key of approve) {
    const seen = find(before, key)?.seen;
    if (seen === undefined) throw new TrustWardenError("not_found", { kind: key.kind });
    if (seen?.sha256 !== key.sha256) throw new TrustWardenError("mcp_definition_changed", { kind: key.kind });
    database.run(APPROVE, now, upstream, key.kind, key.name);
  }
  for (const { kind, name } of withdraw) {
    const known = find(before, { kind, name });
    if (known === undefined) throw new TrustWardenError("not_found", { kind });
    if (known.seen === null) database.run(DROP, upstream, kind, name);
    else database.run(WITHDRAW, now, upstream, kind, name);
  }
  return resultOf(database, { change: "mcp_approved", upstream, before });
}

function resultOf(
  database: SqliteDatabase,
  asked: { readonly change: string; readonly upstream: string; readonly before: readonly PinState[] },
): CommandResult<readonly PinState[]> {
  const { change, upstream, before } = asked;
  const after = listPins(database, upstream);
  const changed = changesOf(before, after);
  return {
    value: after,
    draft: {
      kind: "upstream",
      allow: true,
      reasons: [],
      subject: `upstream:${upstream}`,
      chain: [],
      details: { change, name: upstream, changed },
    },
  };
}

/** Digests of before and after, of each definition for which one of them differs. */
function changesOf(before: readonly PinState[], after: readonly PinState[]): readonly JsonObject[] {
  const keys = [...after, ...before.filter((pin) => find(after, pin) === undefined)];
  return keys.flatMap(({ kind, name }) => {
    const was = find(before, { kind, name });
    const is = find(after, { kind, name });
    const isEqual = was?.approved?.sha256 === is?.approved?.sha256 && was?.seen?.sha256 === is?.seen?.sha256;
    if (isEqual) return [];
    return [
      {
        kind,
        name: name.slice(0, MAX_NAME_CHARS),
        approved_sha256: is?.approved?.sha256 ?? null,
        seen_sha256: is?.seen?.sha256 ?? null,
        approved_before: was?.approved?.sha256 ?? null,
        seen_before: was?.seen?.sha256 ?? null,
      },
    ];
  });
}

function requireUpstream(database: SqliteDatabase, name: string): void {
  const isThere = listUpstreams(database).some(
    (upstream) => upstream.name === name && (upstream.kind === "mcp" || upstream.kind === "a2a"),
  );
  if (!isThere) throw new TrustWardenError("not_found", { upstream: name });
}

function find(pins: readonly PinState[], key: Key): PinState | undefined {
  return pins.find((pin) => isSame(pin, key));
}

function isSame(left: Key, right: Key): boolean {
  return left.kind === right.kind && left.name === right.name;
}
