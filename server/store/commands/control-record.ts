/**
 * The event of a command: signed by the server's SVID key and put into the outbox in the command's own transaction.
 *
 * Nothing is issued, revoked or registered without it: the ledger is owed exactly what was committed.
 */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type ControlRecord, formatTime, parseControlRecord } from "@trustwarden/core/event.ts";
import { formatUuidV7 } from "@trustwarden/core/id.ts";
import type { CommandContext, Committed, ControlDraft } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import type { CommandDeps } from "./deps.ts";
import { readEpoch } from "./epoch.ts";

const APPEND = "INSERT INTO outbox (intent, control) VALUES (?, ?)";
const IS_RECORDED = `
  SELECT 1 AS found FROM server_svids
  WHERE svid_sha256 = ? AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox_id = ?)`;
const IS_ISSUED = "SELECT 1 AS found FROM server_svids WHERE svid_sha256 = ?";
const FIND_SERVER_SVID = `
  SELECT svid_sha256 FROM server_svids WHERE spki_sha256 = ? ORDER BY not_after DESC, svid_sha256 LIMIT 1`;

/**
 * Signs and keeps the event of a command; for an agent's command, after its intent.
 *
 * @throws TrustWardenError `entry_too_large` when the ledger would refuse it, `record_malformed`, or
 *   `store_unavailable` before the server has an SVID of its own.
 */
export function recordControl<T>(
  database: SqliteDatabase,
  deps: CommandDeps,
  event: { readonly context: CommandContext; readonly draft: ControlDraft; readonly value: T },
): Committed<T> {
  const { context, draft, value } = event;
  const epoch = readEpoch(database);
  const eventId = context.intent?.eventId ?? formatUuidV7(context.nowMs, deps.random);
  const record: ControlRecord = {
    v: 1,
    event_id: eventId,
    ...draft,
    principal: context.principal,
    intent_sha256: context.intent?.sha256 ?? null,
    epoch,
    from: { peer: context.peer },
    time: formatTime(context.nowMs),
  };
  const keyid = readServerKeyid(database, deps);
  const control = signRecord(deps, record, keyid);
  const intent = context.intent?.envelope ?? null;
  const entries = (intent === null ? [control] : [intent, control]).map(encodeUtf8);
  // The ledger must be able to take what the transaction commits, or the outbox would never empty.
  const largest = Math.max(...entries.map((entry) => entry.length));
  if (largest > deps.rules.maxEntryBytes) throw new TrustWardenError("entry_too_large", { bytes: largest });
  const { lastId } = database.run(APPEND, intent, control);
  // The first that an SVID of ours signs is its own event.
  if (deps.ownSvids.get(keyid) === null) deps.ownSvids.set(keyid, lastId);
  return { value, entries, outboxId: lastId, eventId, epoch };
}

/**
 * base64url SHA-256 of the SVID that the server signs with now: the latest of its own whose event the ledger has, since nobody
 * can check what is in the ledger before the SVID that signed it. Another server's event, or one of a renewal that was not
 * settled, may come later. At the start the own one is the only one, and its event is settled before anything else is signed.
 *
 * @throws TrustWardenError `store_unavailable`.
 */
export function readServerKeyid(database: SqliteDatabase, deps: CommandDeps): string {
  const own = [...deps.ownSvids].reverse();
  const [known] =
    own.find(([svid, outboxId]) => database.get(IS_RECORDED, svid, outboxId) !== undefined) ??
    own.find(([svid]) => database.get(IS_ISSUED, svid) !== undefined) ??
    [];
  if (known !== undefined) return known;
  const row = database.get(FIND_SERVER_SVID, deps.serverKeySha256);
  if (row === undefined)
    throw new TrustWardenError("store_unavailable", { reason: "the server has no SVID" });
  return row.text("svid_sha256");
}

function signRecord(deps: CommandDeps, record: ControlRecord, keyid: string): string {
  const payload = {
    ...record,
    reasons: [...record.reasons],
    chain: [...record.chain],
    from: { ...record.from },
  };
  // What would not parse as a record must not get under the server's signature.
  parseControlRecord(payload);
  return issueEnvelope("control", payload, deps.serverSigner, keyid);
}
