/**
 * What must hold after a crash: the books are whole, everything that anybody was promised is in them exactly once, and
 * the state says what the books say.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { verifyAcknowledgement } from "@trustwarden/core/agentledger/acknowledgement.ts";
import { auditTiles } from "@trustwarden/core/agentledger/audit-tiles.ts";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import type { FindingCode } from "@trustwarden/core/agentledger/finding.ts";
import { leafHash } from "@trustwarden/core/agentledger/merkle.ts";
import type { LogReader } from "@trustwarden/core/agentledger/ports.ts";
import { parseRecord, type UnverifiedRecord } from "@trustwarden/core/agentledger/record.ts";
import { isEqualBytes } from "@trustwarden/core/bytes.ts";
import type { ControlKind, ControlRecord } from "@trustwarden/core/event.ts";
import { createAdminTransport } from "../../cli/admin-transport.ts";
import { createClient } from "../../cli/client.ts";
import { openLogDirectory } from "../../cli/log-directory.ts";
import { createTemporaryExport } from "../../cli/temporary-export.ts";
import { auditDirectory } from "../../cli/verify-directory.ts";
import { type CrashClients, digestOfText } from "./crash-clients.ts";
import { eventsOfKind } from "./crash-events.ts";
import { sendAdmin } from "./http.ts";
import type { TestServer } from "./server.ts";

/** A killed server leaves these: actions whose end nobody could report any more, and intents that never arrived. */
const ALARMS_OF_A_CRASH: readonly FindingCode[] = [
  "decision_without_outcome",
  "sequence_gap",
  "previous_mismatch",
];
const POLL_MS = 20;
/** Marks are made in batches, a quarter of a second after what they mark (decision 0055); a busy machine takes longer. */
const MARKS_MS = 10_000;

/** Everything in the log at one checkpoint. */
export interface Books {
  readonly checkpoint: string;
  readonly entries: readonly Uint8Array[];
  readonly records: readonly UnverifiedRecord[];
}

/** What is held against the books, from places other than the server. */
export interface Evidence {
  readonly clients: Pick<CrashClients, "certificates" | "decisions" | "outcomes" | "revocations">;
  readonly vkey: string;
  /** Of the audit before; the log must continue it. */
  readonly olderCheckpoint: string | undefined;
}

/** Audits a running server offline. @throws AssertionError for whatever does not hold. */
export async function auditAfterCrash(server: TestServer, evidence: Evidence): Promise<Books> {
  await waitForWholeCheckpoint(server, evidence.vkey);
  const exported = await createTemporaryExport(createClient(createAdminTransport(server.adminSocket)));
  try {
    const books = await verifyBooks(exported.directory, evidence);
    requireOnce(books);
    requirePromises(books, evidence);
    requireSameState(books, await readMarkedState(server.home.dataDir));
    return books;
  } finally {
    exported.remove();
  }
}

/** The read is itself recorded, behind everything that the start brought into the ledger. */
async function waitForWholeCheckpoint(server: TestServer, vkey: string): Promise<void> {
  const [latest] = await eventsOfKind(server, "read");
  const last = Math.max(...(latest?.indexes ?? []));
  assert.ok(Number.isInteger(last), "the read is recorded");
  for (;;) {
    const { text } = await sendAdmin(server.adminSocket, { target: "/ledger/checkpoint" });
    if (verifyCheckpoint(text, vkey).size > last) return;
    await sleep(POLL_MS);
  }
}

async function verifyBooks(directory: string, { vkey, olderCheckpoint }: Evidence): Promise<Books> {
  const report = await auditDirectory({ directory, vkey, olderCheckpoint });
  const bad = report.findings.filter(({ code }) => !ALARMS_OF_A_CRASH.includes(code));
  assert.deepEqual(bad, [], "the offline audit finds nothing but what a crash explains");
  return readBooks(openLogDirectory(directory).reader, vkey);
}

async function readBooks(reader: LogReader, vkey: string): Promise<Books> {
  const checkpoint = (await reader.readCheckpoint()) ?? "";
  const head = verifyCheckpoint(checkpoint, vkey);
  const entries: Uint8Array[] = [];
  const report = ({ code, place }: { readonly code: string; readonly place: string }) =>
    assert.fail(`${code} at ${place}`);
  for await (const bundle of auditTiles(reader, { head, report })) entries.push(...bundle.entries);
  assert.equal(entries.length, head.size);
  return { checkpoint, entries, records: entries.map(parseRecord) };
}

/** No record is there twice, however its signature is spelled, and no control event has two records. */
function requireOnce({ records }: Books): void {
  const keys = records.map(({ unverified, payloadSha256 }) => `${unverified.kind} ${payloadSha256}`);
  assert.equal(new Set(keys).size, keys.length, "no record is doubled");
  const events = controlsOf(records).map(({ event_id }) => event_id);
  assert.equal(new Set(events).size, events.length, "no control event is doubled");
}

function requirePromised(entries: readonly Uint8Array[], index: number, leaf: Uint8Array): void {
  const isPromised = isEqualBytes(leafHash(entries[index] ?? new Uint8Array(0)), leaf);
  assert.ok(isPromised, `entry ${index} is as promised`);
}

/** Each promise that a client holds is kept by the entry it names. */
function requirePromises({ entries, records }: Books, { clients, vkey }: Evidence): void {
  const controls = new Map(controlsOf(records).map((control) => [control.event_id, control]));
  for (const { answer, svidSha256 } of clients.certificates) {
    const { index, leafHash: promised } = verifyAcknowledgement(answer.acknowledgement, vkey);
    requirePromised(entries, index, promised);
    const issued = controls.get(answer.event_id);
    assert.equal(issued?.kind, "issue", "a certificate that somebody holds is in the books");
    assert.equal(issued?.details.svid_sha256, svidSha256);
  }
  for (const { intent, receipt } of clients.decisions) {
    const { decision_index: index, decision, acknowledgement } = receipt;
    const promised = verifyAcknowledgement(acknowledgement, vkey);
    assert.equal(promised.index, index);
    requirePromised(entries, index, promised.leafHash);
    assert.equal(records[index]?.entrySha256, digestOfText(decision), "a decision is where it was promised");
    assert.equal(records[index - 1]?.entrySha256, intent.sha256, "directly behind its intent");
  }
  for (const { envelope, index } of clients.outcomes) {
    assert.equal(records[index]?.entrySha256, digestOfText(envelope), "an outcome is where it was promised");
  }
  for (const { agent, eventId, epoch } of clients.revocations) {
    const revoked = controls.get(eventId);
    assert.deepEqual(
      { kind: revoked?.kind, subject: revoked?.subject, epoch: revoked?.epoch },
      { kind: "revoke", subject: agent.answer.spiffe_id, epoch },
    );
  }
}

/** What the database says happened. */
interface State {
  readonly instances: readonly string[];
  readonly svids: readonly string[];
  readonly epochs: readonly number[];
  /** Events that the ledger is still owed, except those in flight. */
  readonly owed: number;
}

/** The database and the books know the same instances, the same certificates and the same revocations. */
function requireSameState({ records }: Books, state: State): void {
  const issued = controlsOf(records, "issue").filter(({ allow }) => allow);
  const textOf = (name: string) => issued.map(({ details }) => String(details[name])).sort();
  assert.deepEqual(textOf("instance_id"), state.instances, "no instance is off the books");
  assert.deepEqual(textOf("svid_sha256"), state.svids, "no certificate is off the books");
  // A step of the authority takes an epoch too.
  const epochs = [...controlsOf(records, "revoke"), ...controlsOf(records, "authority")].map(
    ({ epoch }) => epoch,
  );
  assert.deepEqual(
    epochs.toSorted((one, other) => one - other),
    state.epochs,
    "no revocation is off the books",
  );
  assert.equal(state.owed, 0, "nothing is owed to the ledger");
}

/** Waits until nothing is owed to the ledger: what a server died owing, another one brings in some seconds later. */
export async function waitForBooks(dataDir: string, waitMs: number): Promise<void> {
  for (const untilMs = performance.now() + waitMs; readState(dataDir).owed > 0; await sleep(POLL_MS))
    assert.ok(performance.now() < untilMs, "what is owed to the ledger comes");
}

/** What is in the ledger is marked in the database a moment later; whatever stays owed longer is a finding. */
async function readMarkedState(dataDir: string): Promise<State> {
  const untilMs = performance.now() + MARKS_MS;
  for (;;) {
    const state = readState(dataDir);
    if (state.owed === 0 || performance.now() > untilMs) return state;
    await sleep(POLL_MS);
  }
}

function readState(dataDir: string): State {
  const own = join(dataDir, "state.db");
  // Of a state elsewhere the copy says the same.
  const file = existsSync(own) ? own : join(dataDir, "state-mirror.db");
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const column = (query: string) =>
      database
        .prepare(query)
        .all()
        .map((row) => Object.values(row)[0]);
    return {
      instances: column("SELECT instance_id FROM instances").map(String).sort(),
      svids: column("SELECT svid_sha256 FROM svids").map(String).sort(),
      epochs: column("SELECT epoch FROM feed ORDER BY epoch").map(Number),
      owed: Number(column("SELECT count(*) FROM outbox")[0]),
    };
  } finally {
    database.close();
  }
}

function controlsOf(records: readonly UnverifiedRecord[], kind?: ControlKind): readonly ControlRecord[] {
  return records.flatMap(({ unverified }) =>
    unverified.kind === "control" && (kind === undefined || unverified.value.kind === kind)
      ? [unverified.value]
      : [],
  );
}
