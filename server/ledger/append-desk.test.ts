/** What the sequencer does of what waits when the log takes a part of it, and of what is looked for at its start. */
import type { AppendAnswer, AppendPost, AskedAppend } from "@trustwarden/core/agentledger/append-post.ts";
import type { Appended } from "@trustwarden/core/agentledger/sequencer.ts";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import { expect, test, vi } from "vitest";
import { createTestSigner } from "../../test/support/keys.ts";
import { AppendDesk } from "./append-desk.ts";

const PATIENT = { timeout: 60_000, interval: 5 };

/** A post in memory; `look` is what a notice does. */
function postOf(asked: readonly AskedAppend[], askedMs = 0) {
  const answers = new Map<string, AppendAnswer>();
  const watching: (() => void)[] = [];
  const post: AppendPost = {
    ask: () => Promise.reject(new Error("nobody asks here")),
    answersTo: async () => answers,
    waiting: async () => asked.filter(({ id }) => !answers.has(id)).map((append) => ({ ...append, askedMs })),
    answer: async (given) => {
      for (const [id, answer] of given) answers.set(id, answer);
    },
    watch: (onNews) => void watching.push(onNews),
  };
  const look = (): void => {
    for (const onNews of watching) onNews();
  };
  return { post, answers, look };
}

test("what the log has taken goes in once, also when it refuses what came with it", async () => {
  const names = ["first", "second"];
  const { post, answers, look } = postOf(names.map((id) => ({ id, entries: [encodeUtf8(id)] })));
  const taken: string[] = [];
  const isDurable = Promise.withResolvers<void>();
  let hasRoom = false;
  const append = async ([entry = new Uint8Array()]: readonly Uint8Array[]): Promise<readonly Appended[]> => {
    const name = parseUtf8(entry);
    if (name === "first" && !hasRoom) throw new TrustWardenError("ledger_unavailable");
    taken.push(name);
    const index = taken.length - 1;
    await isDurable.promise;
    return [{ index, leafHash: new Uint8Array(), acknowledgement: "" }];
  };
  const log = { size: 0, append, readEntry: async () => new Uint8Array(), readEntriesFrom: async () => [] };
  const desk = await AppendDesk.open({ post, log });
  await vi.waitFor(() => expect(taken).toEqual(["second"]), PATIENT);
  hasRoom = true;
  look();
  await new Promise((resolve) => setImmediate(resolve));
  look();
  await new Promise((resolve) => setImmediate(resolve));
  isDurable.resolve();
  await vi.waitFor(() => {
    look();
    expect(answers.size).toBe(2);
  }, PATIENT);
  await desk.close();
  expect(taken).toEqual(["second", "first"]);
});

test("events that are far older than the asking for them are found in the ledger, all of them", async () => {
  const nowMs = 1_780_000_000_000;
  const signer = createTestSigner();
  const controlAt = (timeMs: number, name: string): Uint8Array => {
    const event = { v: 1, kind: "read", name, time: formatTime(timeMs) };
    return encodeUtf8(issueEnvelope("control", event, signer, "A".repeat(43)));
  };
  const dayBefore = nowMs - 86_400_000;
  const late = ["a", "b"].map((id, at) => ({ id, entries: [controlAt(dayBefore + at, id)] }));
  const entries = [...late.flatMap((append) => append.entries), controlAt(nowMs, "newest")];
  const { post, answers } = postOf(late, nowMs);
  const log = {
    size: entries.length,
    append: () => Promise.reject(new Error("they are there")),
    readEntry: async (index: number) => entries[index] ?? new Uint8Array(),
    readEntriesFrom: async (start: number) => entries.slice(start),
  };
  const desk = await AppendDesk.open({ post, log });
  await vi.waitFor(() => expect(answers.size).toBe(2), PATIENT);
  await desk.close();
  expect([...answers]).toEqual([
    ["a", { kind: "placed", index: 0 }],
    ["b", { kind: "placed", index: 1 }],
  ]);
});
