/**
 * Appends of servers that do not sequence, over a real PostgreSQL of Debian: each is in the ledger once, in the place
 * that was promised, whenever the sequencer ends.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import {
  issueAcknowledgement,
  verifyAcknowledgement,
} from "@trustwarden/core/agentledger/acknowledgement.ts";
import type { AppendPost } from "@trustwarden/core/agentledger/append-post.ts";
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import { leafHash } from "@trustwarden/core/agentledger/merkle.ts";
import {
  formatTestEventId,
  issueTestDecision,
  issueTestIntent,
} from "@trustwarden/core/agentledger/record.test.support.ts";
import type { Appended } from "@trustwarden/core/agentledger/sequencer.ts";
import { encodeHex, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { POSTGRESQL_BIN } from "../../test/support/postgresql.ts";
import { CommitOrder } from "../shared/commit-order.ts";
import { readPrivateFile } from "../signer/private-file.ts";
import {
  contextAt,
  createOwnerIn,
  createTestAuthority,
  NOW_MS,
  RULES,
  ticketCommand,
} from "../store/commands/fixture.test.support.ts";
import { type LogPlace, sequencerOf } from "../store/log-place.test.support.ts";
import { openPostgresLogin } from "../store/postgres-login.ts";
import { PostgresAppendPost } from "../store/postgres-state/append-rows.ts";
import type { StateSettings } from "../store/postgres-state/protocol.ts";
import { shareStateServer } from "../store/postgres-state/state-server.test.support.ts";
import { createSqliteStore, type SqliteStore } from "../store/sqlite.ts";
import { AppendDesk } from "./append-desk.ts";
import { CarriedAppends } from "./carried-appends.ts";
import { appendIdOf, OutboxSweep } from "./outbox-sweep.ts";

const DESK = join(import.meta.dirname, "append-desk.test.support.ts");
const PATIENT = { timeout: 60_000, interval: 20 };
const PAIRS = 60;
const ORIGIN = "ledger.acme.test/carried";
const { server: database, folder } = shareStateServer("appends that are carried to the sequencer");
const { keys } = createTestAuthority();
const cleanups: (() => unknown)[] = [];
let settings: StateSettings;
let place: LogPlace;
let number = 0;

beforeEach(async () => {
  if (POSTGRESQL_BIN === undefined) return;
  settings = await database.create();
  const directory = mkdtempSync(join(folder, "log-"));
  place = { origin: ORIGIN, directory, mark: join(folder, `mark-${settings.login.database}`) };
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function openPost(): PostgresAppendPost {
  const post = new PostgresAppendPost(() =>
    openPostgresLogin(settings.login, "state.postgres", readPrivateFile),
  );
  cleanups.push(() => post.close());
  return post;
}

const openCarried = (post: AppendPost) =>
  new CarriedAppends({
    post,
    newId: () => encodeHex(new Uint8Array(randomBytes(16))),
    acknowledge: (at) =>
      issueAcknowledgement({ origin: ORIGIN, acknowledgedAt: 1_795_000_000, ...at }, createTestLogSigner()),
  });

/** One of the servers that share the test's store. */
function openShared(): Promise<SqliteStore> {
  return createSqliteStore({
    dataDir: mkdtempSync(join(folder, "data-")),
    remote: { ...settings, goesOn: false, isShared: true },
    keys,
    rules: RULES,
    nowMs: () => NOW_MS,
    onFatal: () => undefined,
  });
}

/** An intent with its decision, as a server records them. */
function nextPair(): readonly Uint8Array[] {
  number += 1;
  const intent = issueTestIntent({ event_id: formatTestEventId(number) });
  const decision = issueTestDecision(intent, {});
  return [intent, decision];
}

/** A sequencer's process. */
async function spawnDesk(): Promise<{ readonly child: ChildProcess; readonly ready: Promise<unknown> }> {
  const child = spawn(process.execPath, [DESK, JSON.stringify({ place, login: settings.login })], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  cleanups.push(async () => {
    const exited = child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined;
    child.kill("SIGKILL");
    await exited;
  });
  return { child, ready: once(child.stdout ?? child, "data") };
}

/** Every entry in the log, once, where it was promised. */
async function expectInPlace(
  appended: readonly { readonly entries: readonly Uint8Array[]; readonly places: readonly Appended[] }[],
): Promise<void> {
  const log = sequencerOf(place);
  await log.start();
  expect(log.size).toBe(appended.reduce((sum, { entries }) => sum + entries.length, 0));
  for (const { entries, places } of appended) {
    for (const [at, entry] of entries.entries()) {
      const promised = places[at];
      if (promised === undefined) throw new Error("a place for each entry");
      expect(parseUtf8(await log.readEntry(promised.index))).toBe(parseUtf8(entry));
      const { index, leafHash: hash } = verifyAcknowledgement(promised.acknowledgement, log.vkey);
      expect([index, encodeHex(hash)]).toEqual([promised.index, encodeHex(leafHash(entry))]);
    }
    expect(places[1]?.index).toBe((places[0]?.index ?? 0) + 1);
  }
  await log.stop();
}

describe.skipIf(POSTGRESQL_BIN === undefined)("appends that are carried to the sequencer", () => {
  test("wait out the end of one sequencer, and are in the ledger once where the next one says", async () => {
    const first = await spawnDesk();
    await first.ready;
    const second = await spawnDesk();
    const servers = [openCarried(openPost()), openCarried(openPost())];
    const appended: { readonly entries: readonly Uint8Array[]; readonly places: readonly Appended[] }[] = [];
    const work = servers.map(async (server) => {
      for (let pairs = 0; pairs < PAIRS; pairs += 1) {
        const entries = nextPair();
        appended.push({ entries, places: await server.append(entries) });
      }
    });
    await vi.waitFor(() => expect(appended.length).toBeGreaterThan(PAIRS / 2), PATIENT);
    first.child.kill("SIGKILL");
    await second.ready;
    await Promise.all(work);
    expect(appended).toHaveLength(2 * PAIRS);
    const gone = once(second.child, "exit");
    second.child.kill("SIGKILL");
    await gone;
    await expectInPlace(appended);
  });

  test("go in once when the sequencer ended between the entry and its answer", async () => {
    const post = openPost();
    const speechless: AppendPost = {
      ask: (asked) => post.ask(asked),
      answersTo: (ids) => post.answersTo(ids),
      waiting: () => post.waiting(),
      watch: (onNews) => post.watch(onNews),
      answer: () => Promise.reject(new TrustWardenError("store_unavailable")),
    };
    const old = sequencerOf(place);
    await old.start();
    const desk = await AppendDesk.open({ post: speechless, log: old });
    const entries = nextPair();
    const asked = openCarried(post).append(entries);
    await vi.waitFor(() => expect(old.size).toBe(entries.length), PATIENT);
    await desk.close();
    await old.stop();
    const next = sequencerOf(place);
    await next.start();
    const answering = await AppendDesk.open({ post, log: next });
    const places = await asked;
    await answering.close();
    await next.stop();
    await expectInPlace([{ entries, places }]);
  });

  test("that a server died owing are brought in by another, once, and also when the owner comes after all", async () => {
    const [owing, other] = [await openShared(), await openShared()];
    cleanups.push(() => other.close());
    await owing.commands.issueServerSvid({ context: contextAt(NOW_MS), reason: "start" });
    const owner = await createOwnerIn(owing);
    const { entries, outboxId } = await owing.commands.issue(ticketCommand(owner, { name: "agent" }));
    await owing.close();
    await vi.waitFor(() => expect(other.reads.pendingEntries()).toHaveLength(3), PATIENT);
    const log = sequencerOf(place);
    await log.start();
    const post = openPost();
    const desk = await AppendDesk.open({ post, log });
    const failures: unknown[] = [];
    const sweep = new OutboxSweep({
      reads: other.reads,
      markSequenced: other.commands.markSequenced,
      appends: openCarried(post),
      monoMs: () => performance.now(),
      owedMs: 0,
      onFailure: (error) => failures.push(error),
    });
    const late = openCarried(openPost()).append(entries, appendIdOf({ outboxId, entries }));
    await vi.waitFor(async () => {
      await sweep.look();
      expect(other.reads.pendingEntries()).toEqual([]);
    }, PATIENT);
    await sweep.close();
    expect(failures).toEqual([]);
    const [place0] = await late;
    expect(parseUtf8(await log.readEntry(place0?.index ?? -1))).toBe(
      parseUtf8(entries[0] ?? new Uint8Array()),
    );
    const all = await Promise.all(Array.from({ length: log.size }, (_, index) => log.readEntry(index)));
    expect(new Set(all.map(parseUtf8)).size).toBe(all.length);
    await desk.close();
    await log.stop();
  });

  test("are not asked for anew by whoever was held up until the answer was forgotten", async () => {
    await database.admin(
      settings,
      "insert into trustwarden_state.outbox (outbox_id, control) values (7, '')",
    );
    const owed = { id: "outbox 7 digest", entries: nextPair() };
    const [first, late] = [openPost(), openPost()];
    const log = sequencerOf(place);
    await log.start();
    const desk = await AppendDesk.open({ post: first, log });
    await openCarried(first).append(owed.entries, owed.id);
    await database.admin(settings, "delete from trustwarden_state.outbox");
    await database.admin(
      settings,
      "update trustwarden_state_log.appends set answered_at = now() - interval '1 hour'",
    );
    await openCarried(first).append(nextPair());
    expect(await first.answersTo([owed.id])).toEqual(new Map());
    await late.ask([owed]);
    await openCarried(late).append(nextPair());
    expect(log.size).toBe(6);
    await desk.close();
    await log.stop();
  });

  test("are in the ledger in the order of the commits, also those that another server committed and did not ask for", async () => {
    const [owing, other] = [await openShared(), await openShared()];
    cleanups.push(() => other.close());
    const { outboxId: first } = await owing.commands.issueServerSvid({
      context: contextAt(NOW_MS),
      reason: "start",
    });
    const owner = await createOwnerIn(owing);
    const committed = await other.commands.issue(ticketCommand(owner, { name: "agent" }));
    await owing.close();
    const owed = other.reads.pendingEntries();
    expect(owed.map(({ outboxId }) => outboxId)).toEqual([first, expect.any(Number), committed.outboxId]);
    const log = sequencerOf(place);
    await log.start();
    const post = openPost();
    const desk = await AppendDesk.open({ post, log });
    const appends = openCarried(post);
    const order = new CommitOrder({ reads: other.reads, appends });
    order.askBefore(committed.outboxId);
    const [own] = await appends.append(committed.entries, appendIdOf(committed));
    expect(own?.index).toBe(2);
    // Once: what was asked for is not asked for again, whoever settles late.
    order.askBefore(committed.outboxId);
    order.askBefore(first);
    const all = await Promise.all([0, 1, 2].map((index) => log.readEntry(index)));
    expect(all.map(parseUtf8)).toEqual(owed.flatMap(({ entries }) => entries).map(parseUtf8));
    expect(log.size).toBe(3);
    await desk.close();
    await log.stop();
  });

  test("have an answer although nobody sequenced for long, and go in once when they are asked for again", async () => {
    const entries = nextPair();
    const post = openPost();
    await post.ask([{ id: "late", entries }]);
    await database.admin(
      settings,
      "update trustwarden_state_log.appends set asked_at = now() - interval '1 day'",
    );
    const log = sequencerOf(place);
    await log.start();
    const desk = await AppendDesk.open({ post, log });
    await vi.waitFor(() => expect(log.size).toBe(entries.length), PATIENT);
    const places = await openCarried(post).append(entries, "late");
    await desk.close();
    await log.stop();
    await expectInPlace([{ entries, places }]);
  });

  test("are refused for what the log refuses, and for a way that is not there", async () => {
    const log = sequencerOf(place);
    await log.start();
    const post = openPost();
    const desk = await AppendDesk.open({ post, log });
    const carried = openCarried(post);
    await expect(carried.append([new Uint8Array(20_000)])).rejects.toMatchObject({ code: "entry_too_large" });
    await desk.close();
    await log.stop();
    await post.close();
    await expect(carried.append(nextPair())).rejects.toMatchObject({ code: "ledger_unavailable" });
  });
});

test("what is asked for again under its id, while it waits to be asked for, has the one answer", async () => {
  const isThere = Promise.withResolvers<void>();
  const asks: string[][] = [];
  let look = (): void => undefined;
  const carried = openCarried({
    ask: (asked) => {
      asks.push(asked.map(({ id }) => id));
      return isThere.promise;
    },
    answersTo: async (ids) => new Map(ids.map((id, index) => [id, { kind: "placed", index }])),
    waiting: () => Promise.reject(new Error("nobody sequences here")),
    answer: () => Promise.reject(new Error("nobody sequences here")),
    watch: (onNews) => {
      look = onNews;
    },
  });
  const ids = ["first", "second", "second"];
  const appends = ids.map((id) => carried.append([new Uint8Array(1)], id));
  isThere.resolve();
  await vi.waitFor(() => expect(asks).toEqual([["first"], ["second"]]), PATIENT);
  look();
  expect((await Promise.all(appends)).map(([place]) => place?.index)).toEqual([0, 1, 1]);
});
