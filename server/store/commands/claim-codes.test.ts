/** Claim codes in the store: what ends them, and what so many cost. */
import { digestOfClaimCode } from "@trustwarden/core/agentid/claim-code.ts";
import { expect, test } from "vitest";
import type { AskedClaim } from "../claim-ports.ts";
import { createReads } from "../reads.ts";
import { contextAt, createTestStore, NOW, NOW_MS, type TestStore } from "./fixture.test.support.ts";

const OWNER = "own_01K0000000000000000000000A";
const wish = (name: string) => ({ path: "", name, scope: ["read:rows"], ttl_seconds: 3600, owner: null });

function ask(store: TestStore, name: string, { nowMs = NOW_MS, workBits = 30 } = {}): AskedClaim {
  const command = { context: contextAt(nowMs), thumbprint: name, wish: wish(name), workBits };
  return store.run<AskedClaim>({ kind: "changeClaim", command: { change: "ask", ...command } }).value;
}

test("a code finds its agent for ten minutes, to the second, however it is typed", () => {
  const store = createTestStore();
  const reads = createReads(store.database, () => NOW);
  const { code, claimId, expiresAt } = ask(store, "one");
  expect(code).toMatch(/^(?:[0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$/);
  expect(expiresAt).toBe(NOW + 600);
  const codeSha256 = digestOfClaimCode(` ${code.toLowerCase().replaceAll("0", "o").replaceAll("1", "l")} `);
  expect(reads.findWaitingClaim({ codeSha256, ownerId: OWNER, now: NOW + 599 })).toMatchObject({ claimId });
  expect(reads.findWaitingClaim({ codeSha256, ownerId: OWNER, now: NOW + 600 })).toBeUndefined();
  expect(reads.findClaim({ claimId, now: NOW + 600 })).toBeUndefined();
  expect(JSON.stringify(store.dump())).not.toContain(code.replaceAll("-", ""));
});

test("the more wait, the more work one more brings, and beyond 512 none is taken until one is over", () => {
  const store = createTestStore();
  const costly = (asked: number) =>
    expect.objectContaining({
      code: "registration_costly",
      details: expect.objectContaining({ workBits: asked, retryAfterSeconds: 600 }),
    });
  expect(() => ask(store, "first", { workBits: 15 })).toThrow();
  for (let made = 0; made < 128; made += 1) ask(store, `agent-${made}`, { workBits: 16 });
  expect(() => ask(store, "more", { workBits: 16 })).toThrow(costly(17));
  // What both SDKs bring (0063) is enough for whoever is let wait.
  for (let made = 128; made < 512; made += 1) ask(store, `agent-${made}`, { workBits: 20 });
  expect(() => ask(store, "none")).toThrow(costly(20));
  expect(ask(store, "later", { nowMs: NOW_MS + 600_000, workBits: 16 }).claimId).toMatch(/^clm_/);
});

test("asking anew with the same key counts as often as it was asked, so that no loop gets its events for the price of the first", () => {
  const store = createTestStore();
  const reads = createReads(store.database, () => NOW);
  const first = ask(store, "loop", { workBits: 16 });
  for (let made = 1; made < 128; made += 1) ask(store, "loop", { workBits: 16 });
  expect(() => ask(store, "loop", { workBits: 16 })).toThrow(
    expect.objectContaining({
      code: "registration_costly",
      details: expect.objectContaining({ waiting: 128 }),
    }),
  );
  const query = { codeSha256: digestOfClaimCode(first.code), ownerId: OWNER, now: NOW };
  expect(reads.findWaitingClaim(query)).toBeUndefined();
  expect(reads.findClaim({ claimId: first.claimId, now: NOW })?.thumbprint).not.toBe("loop");
});
