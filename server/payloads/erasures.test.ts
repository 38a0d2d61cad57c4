import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUuidV7 } from "@trustwarden/core/id.ts";
import { describe, expect, it, onTestFinished } from "vitest";
import { KeyEncryptionKeys } from "../signer/key-encryption.ts";
import { UnsealKey } from "../signer/unseal-key.ts";
import { Erasures } from "./erasures.ts";
import { PayloadStore } from "./payload-store.ts";

const DAY_MS = 86_400_000;
const ORDER = { reason: "GDPR article 17", principal: "operator", peer: "admin socket" };
const SELF = "spiffe://acme.test/trustwarden/server/01J0000000000000000000000A";
const PAYLOAD = {
  method: "POST",
  target: "/x",
  request: encodeUtf8("7 Elm Street"),
  answer: encodeUtf8("noted"),
  salt: null,
};
const refusal = (code: string) => expect.objectContaining({ code });

/** A store on a disk of its own, and what is recorded; `crash` breaks off where a process would have been killed. */
function scene(retentionDays: number | null = null) {
  const root = mkdtempSync(join(tmpdir(), "tw-payloads-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const directory = join(root, "payloads");
  const keys = new KeyEncryptionKeys({
    ...{ directory: join(root, "keys"), unsealKey: new UnsealKey(randomBytes(32), randomBytes) },
    ...{ random: randomBytes, custody: "sealed", token: null, kms: null },
  });
  const at = { nowMs: Date.UTC(2026, 0, 1) };
  const events: { readonly subject: string | null; readonly details: object; readonly principal: string }[] =
    [];
  const crash: { when: "before the event" | "after the event" | null } = { when: null };
  const open = () => {
    const nowMs = () => at.nowMs;
    const payloads = new PayloadStore({
      directory,
      keys,
      random: randomBytes,
      nowMs,
      deployment: () => SELF,
    });
    const erasures = new Erasures({
      payloads,
      record: async (drafts, { principal }) => {
        if (crash.when === "before the event") throw new TrustWardenError("ledger_unavailable");
        events.push(...drafts.map(({ draft: { subject, details } }) => ({ subject, details, principal })));
        if (crash.when === "after the event") throw new TrustWardenError("ledger_unavailable");
      },
      epoch: () => 1,
      nowMs,
      trustedMs: nowMs,
      self: () => SELF,
      retentionDays,
      onFailure: (error) => {
        throw error;
      },
    });
    onTestFinished(() => erasures.close());
    return { payloads, erasures };
  };
  const keep = async ({ payloads }: { readonly payloads: PayloadStore }) => {
    const eventId = formatUuidV7(at.nowMs, randomBytes);
    await payloads.keep(eventId, PAYLOAD);
    return eventId;
  };
  const files = () => readdirSync(directory).filter((name) => name !== "key.json");
  return { directory, at, events, crash, open, keep, files };
}

describe("what is kept", () => {
  it("goes to the disk while the thread that serves goes on", async () => {
    const { open, keep } = scene();
    const opened = open();
    await keep(opened);
    let hasTurned = false;
    setImmediate(() => {
      hasTurned = true;
    });
    await keep(opened);
    expect(hasTurned).toBe(true);
  });

  it("opens only with the time that it was kept at", async () => {
    const { open, keep, directory } = scene();
    const { payloads } = open();
    const eventId = await keep({ payloads });
    expect(await payloads.read(eventId)).toMatchObject({ method: "POST" });
    const file = join(directory, `${eventId}.payload`);
    const bytes = readFileSync(file);
    bytes[7] = (bytes[7] ?? 0) ^ 1;
    writeFileSync(file, bytes, { mode: 0o600 });
    await expect(payloads.read(eventId)).rejects.toThrow(refusal("seal_broken"));
  });
});

describe("an erasure", () => {
  it("leaves one event and no file, and is refused for what is not there", async () => {
    const { open, keep, events, files } = scene();
    const opened = open();
    const eventId = await keep(opened);
    await opened.erasures.erase(eventId, ORDER);
    expect(files()).toEqual([]);
    const details = { change: "erasure", event_id: eventId, reason: ORDER.reason };
    expect(events).toEqual([{ subject: `payload:${eventId}`, details, principal: "operator" }]);
    await expect(opened.erasures.erase(eventId, ORDER)).rejects.toThrow(refusal("not_found"));
    expect(events).toHaveLength(1);
  });

  it.each(["before the event", "after the event"] as const)(
    "that a crash cuts short %s is finished by the next start, and nothing opens it in between",
    async (when) => {
      const { open, keep, events, files, crash } = scene();
      const first = open();
      const eventId = await keep(first);
      crash.when = when;
      await expect(first.erasures.erase(eventId, ORDER)).rejects.toThrow(refusal("ledger_unavailable"));
      await expect(first.payloads.read(eventId)).rejects.toThrow(refusal("not_found"));
      crash.when = null;
      await open().erasures.start();
      expect(files()).toEqual([]);
      expect(events.at(-1)).toMatchObject({
        principal: "operator",
        details: { event_id: eventId, reason: ORDER.reason, resumed: true },
      });
      expect(events).toHaveLength(when === "after the event" ? 2 : 1);
    },
  );

  it("that the ledger had no place for is not said to be done: it may be asked for again", async () => {
    const { open, keep, events, files, crash } = scene();
    const { payloads, erasures } = open();
    const eventId = await keep({ payloads });
    crash.when = "before the event";
    await expect(erasures.erase(eventId, ORDER)).rejects.toThrow(refusal("ledger_unavailable"));
    await expect(erasures.erase(eventId, ORDER)).rejects.toThrow(refusal("ledger_unavailable"));
    crash.when = null;
    await erasures.erase(eventId, ORDER);
    expect(files()).toEqual([]);
    expect(events).toMatchObject([{ principal: "operator", details: { event_id: eventId } }]);
  });

  it("that two ask for at once is one", async () => {
    const { open, keep, events, files } = scene();
    const { payloads, erasures } = open();
    const eventId = await keep({ payloads });
    const both = await Promise.allSettled([erasures.erase(eventId, ORDER), erasures.erase(eventId, ORDER)]);
    expect(both.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
    expect([files(), events.length]).toEqual([[], 1]);
  });

  it("that a crash cuts short when the file is gone leaves no second event", async () => {
    const { open, keep, events, files, directory } = scene();
    const { payloads } = open();
    const eventId = await keep({ payloads });
    await payloads.order(eventId, ORDER);
    rmSync(join(directory, `${eventId}.payload`));
    await open().erasures.start();
    expect([files(), events]).toEqual([[], []]);
  });
});

describe("retention", () => {
  it("erases what is older, each with an event of the server's own, and keeps the rest", async () => {
    const { open, keep, events, files, at } = scene(30);
    const opened = open();
    const old = [await keep(opened), await keep(opened)];
    at.nowMs += 29 * DAY_MS;
    const young = await keep(opened);
    await opened.erasures.sweep();
    expect(events).toEqual([]);
    at.nowMs += DAY_MS + 1;
    await opened.erasures.sweep();
    expect(files()).toEqual([`${young}.payload`]);
    expect(events.map(({ subject }) => subject).toSorted()).toEqual(
      old.map((id) => `payload:${id}`).toSorted(),
    );
    expect(events[0]).toMatchObject({ principal: SELF, details: { reason: "kept for 30 days" } });
    expect(await opened.payloads.read(young)).toMatchObject({ method: "POST" });
  });

  it("goes on at the next start after a crash, in a batch of many", async () => {
    const { open, keep, events, files, at, crash } = scene(1);
    const first = open();
    for (let count = 0; count < 70; count += 1) await keep(first);
    at.nowMs += 2 * DAY_MS;
    crash.when = "after the event";
    await expect(first.erasures.sweep()).rejects.toThrow(refusal("ledger_unavailable"));
    expect(events).toHaveLength(64);
    crash.when = null;
    const second = open();
    await second.erasures.start();
    await second.erasures.close();
    await second.erasures.sweep();
    await open().erasures.sweep();
    expect(files()).toEqual([]);
    expect(new Set(events.map(({ subject }) => subject)).size).toBe(70);
  });

  it("finishes at the next sweep what the ledger had no place for, without another start", async () => {
    const { open, keep, events, files, at, crash } = scene(1);
    const { payloads, erasures } = open();
    await keep({ payloads });
    at.nowMs += 2 * DAY_MS;
    crash.when = "before the event";
    await expect(erasures.sweep()).rejects.toThrow(refusal("ledger_unavailable"));
    crash.when = null;
    await erasures.sweep();
    expect([files(), events.length]).toEqual([[], 1]);
  });

  it("erases nothing by itself without a setting", async () => {
    const { open, keep, events, files, at } = scene(null);
    const opened = open();
    const eventId = await keep(opened);
    at.nowMs += 10_000 * DAY_MS;
    await opened.erasures.start();
    await opened.erasures.sweep();
    expect([files(), events]).toEqual([[`${eventId}.payload`], []]);
  });
});
