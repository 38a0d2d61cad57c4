/** What a crash left in the outbox comes into the ledger once, and the end of the ledger is read back far enough. */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { formatTime, type Intent } from "@trustwarden/core/event.ts";
import { issueIntent } from "@trustwarden/core/intent.ts";
import { describe, expect, it } from "vitest";
import { expectCode } from "../../test/support/expect-code.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { drainOutbox, oldestPendingMs } from "./outbox.ts";
import { SeenIntents } from "./seen-intents.ts";
import { digestOfEntry, readTail } from "./tail.ts";

const NOW_MS = 1_780_000_000_000;
const signer = createTestSigner();
const DIGEST = "A".repeat(43);

function controlAt(timeMs: number, name = "x"): Uint8Array {
  return encodeUtf8(
    issueEnvelope("control", { v: 1, kind: "read", name, time: formatTime(timeMs) }, signer, DIGEST),
  );
}

function intentAt(timeMs: number, eventId: string) {
  const intent: Intent = {
    v: 1,
    event_id: eventId,
    agent: { id: "agt_1", spiffe_id: "spiffe://acme.test/a/inst-1", svid_sha256: DIGEST },
    action: "read:transactions",
    resource: "x",
    request: null,
    params: null,
    aud: "spiffe://acme.test/v",
    job: null,
    time: formatTime(timeMs),
    exp: Math.floor(timeMs / 1000) + 60,
    seq: 1,
    prev: null,
    seen: null,
  };
  return issueIntent(intent, signer);
}

function logOf(entries: Uint8Array[]) {
  const reads: number[] = [];
  return {
    entries,
    reads,
    get size() {
      return entries.length;
    },
    readEntry: async (index: number) => {
      reads.push(index);
      return entries[index] ?? new Uint8Array();
    },
    append: async (added: readonly Uint8Array[]) => {
      entries.push(...added);
      return added.map((_, offset) => ({
        index: entries.length - added.length + offset,
        leafHash: new Uint8Array(),
        acknowledgement: "",
      }));
    },
  };
}

function outboxOf(rows: { readonly outboxId: number; readonly entries: readonly Uint8Array[] }[]) {
  const marked: number[] = [];
  return {
    marked,
    reads: { pendingEntries: () => rows.filter(({ outboxId }) => !marked.includes(outboxId)) },
    markSequenced: async (ids: readonly number[]) => void marked.push(...ids),
  };
}

describe("the outbox", () => {
  it("is brought into the ledger in order, and what is there already is only marked", async () => {
    const rows = [1, 2, 3].map((outboxId) => ({ outboxId, entries: [controlAt(NOW_MS, `row ${outboxId}`)] }));
    const log = logOf([...(rows[0]?.entries ?? [])]);
    const { reads, markSequenced, marked } = outboxOf(rows);
    const { indexes } = await readTail({ log, seen: new SeenIntents(), sinceMs: oldestPendingMs(reads) });
    expect(await drainOutbox({ reads, markSequenced, log, known: indexes })).toBe(2);
    expect(marked).toEqual([1, 2, 3]);
    expect(log.entries.map(digestOfEntry)).toEqual(
      rows.map(({ entries }) => digestOfEntry(entries[0] ?? new Uint8Array())),
    );
  });

  it("that is empty asks for nothing", async () => {
    const { reads, markSequenced } = outboxOf([]);
    expect(oldestPendingMs(reads)).toBe(Number.POSITIVE_INFINITY);
    expect(await drainOutbox({ reads, markSequenced, log: logOf([]), known: new Map() })).toBe(0);
  });
});

describe("the end of the ledger", () => {
  it("tells the latest instant that was signed, and which intents were used", async () => {
    const used = intentAt(NOW_MS - 1000, "0198c0de-0000-7000-8000-000000000001");
    const seen = new SeenIntents();
    const log = logOf([
      controlAt(NOW_MS - 2000),
      encodeUtf8(used.envelope),
      controlAt(NOW_MS),
      controlAt(NOW_MS - 500),
    ]);
    const { signedMs, indexes } = await readTail({ log, seen, sinceMs: NOW_MS });
    expect({ signedMs, entries: indexes.size }).toEqual({ signedMs: NOW_MS, entries: 4 });
    expectCode(() => seen.claim(used, NOW_MS / 1000), "intent_replayed");
  });

  it("does not believe an agent's clock", async () => {
    const future = intentAt(NOW_MS + 86_400_000, "0198c0de-0000-7000-8000-000000000002");
    const log = logOf([controlAt(NOW_MS), encodeUtf8(future.envelope)]);
    const { signedMs } = await readTail({ log, seen: new SeenIntents(), sinceMs: Number.POSITIVE_INFINITY });
    expect(signedMs).toBe(NOW_MS);
  });

  it("is read only as far back as anything can matter", async () => {
    const old = Array.from({ length: 50 }, () => controlAt(NOW_MS - 3_600_000));
    const log = logOf([...old, controlAt(NOW_MS)]);
    await readTail({ log, seen: new SeenIntents(), sinceMs: Number.POSITIVE_INFINITY });
    expect(log.reads).toEqual([50, 49]);
    const deep = logOf([...old, controlAt(NOW_MS)]);
    await readTail({ log: deep, seen: new SeenIntents(), sinceMs: NOW_MS - 7_200_000 });
    expect(deep.reads).toHaveLength(51);
  });

  it("is read a bundle at a time, and no intent in it is missed", async () => {
    const intents = Array.from({ length: 3 }, (_, at) =>
      intentAt(NOW_MS - 1000, `0198c0de-0000-7000-8000-00000000000${at}`),
    );
    const [first, second, third] = intents.map(({ envelope }) => encodeUtf8(envelope));
    const old = Array.from({ length: 300 }, () => controlAt(NOW_MS - 3_600_000));
    const recent = Array.from({ length: 300 }, () => controlAt(NOW_MS - 2000));
    const entries = [
      ...old,
      ...recent.slice(0, 100),
      first,
      ...recent,
      second,
      controlAt(NOW_MS),
      third,
    ].flatMap((entry) => entry ?? []);
    const bundles: number[] = [];
    const log = {
      ...logOf(entries),
      size: entries.length,
      readEntriesFrom: async (index: number) => {
        bundles.push(index);
        return entries.slice(index, (Math.floor(index / 256) + 1) * 256);
      },
    };
    const seen = new SeenIntents();
    const { signedMs } = await readTail({ log, seen, sinceMs: Number.POSITIVE_INFINITY });
    expect({ signedMs, bundles }).toEqual({ signedMs: NOW_MS, bundles: [512, 256] });
    for (const intent of intents) expectCode(() => seen.claim(intent, NOW_MS / 1000), "intent_replayed");
  });

  it("of an empty ledger tells nothing", async () => {
    const tail = await readTail({
      log: logOf([]),
      seen: new SeenIntents(),
      sinceMs: Number.POSITIVE_INFINITY,
    });
    expect(tail).toEqual({ signedMs: 0, indexes: new Map() });
  });
});
