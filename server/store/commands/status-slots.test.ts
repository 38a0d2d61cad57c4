import { getListFromStatusListJWT, getStatusListFromJWT } from "@sd-jwt/jwt-status-list";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { decodeProtectedHeader } from "jose";
import { describe, expect, it } from "vitest";
import {
  contextAt,
  createTestStore,
  NOW_MS,
  type TestIdentity,
  type TestStore,
} from "./fixture.test.support.ts";
import { claimStatusSlot, issueStatusList } from "./status-slots.ts";

const LISTS = "https://warden.acme.test/v1/status-list";
const NOW = NOW_MS / 1000;
const code = (name: string) => expect.objectContaining({ code: name });

/** The place of a new token. */
function placeOf(store: TestStore, { instanceId }: TestIdentity, nowMs = NOW_MS) {
  const command = { context: contextAt(nowMs), instanceId, audience: "https://api.test", statusLists: LISTS };
  const ask = { kind: "issueJwt", command: { ...command, identity: "instance" } } as const;
  const { svid } = store.run<{ readonly svid: string }>(ask).value;
  return getStatusListFromJWT(svid);
}

function statusAt(store: TestStore, index: number, nowMs = NOW_MS): number {
  const command = { nowMs, page: 0, uri: `${LISTS}/0` };
  return getListFromStatusListJWT(issueStatusList(store.database, command, store.deps).token).getStatus(
    index,
  );
}

function revoke(store: TestStore, { instanceId }: TestIdentity, nowMs = NOW_MS): void {
  const target = { kind: "instance", id: instanceId } as const;
  store.run({ kind: "revoke", command: { context: contextAt(nowMs), target, reason: "test" } });
}

describe("the places of tokens", () => {
  it("TSL-8 are drawn at random and never shared while in use", () => {
    const store = createTestStore();
    const agent = store.root(store.owner());
    const places = Array.from({ length: 200 }, () => placeOf(store, agent));
    expect(new Set(places.map(({ idx, uri }) => `${uri}#${idx}`)).size).toBe(200);
    const indexes = places.map(({ idx }) => idx);
    expect(indexes).not.toEqual(indexes.toSorted((a, b) => a - b));
    expect(Math.max(...indexes) - Math.min(...indexes)).toBeGreaterThan(10_000);
  });

  it("TSL-9 are used again only when no list in force can name them void", () => {
    const store = createTestStore();
    const { instanceId } = store.root(store.owner());
    const deps = { ...store.deps, random: (length: number) => new Uint8Array(length) };
    const claimAt = (now: number) =>
      claimStatusSlot(store.database, deps, { instanceId, expiresAt: now + 300, now });
    expect(claimAt(NOW)).toEqual({ page: 0, index: 0 });
    expect(claimAt(NOW + 600)).toEqual({ page: 1, index: 0 });
    expect(claimAt(NOW + 601)).toEqual({ page: 0, index: 0 });
  });

  it("go to the next list where one has no room, and are refused when none has", () => {
    const store = createTestStore();
    const { instanceId } = store.root(store.owner());
    const deps = { ...store.deps, random: (length: number) => new Uint8Array(length) };
    const claim = () =>
      claimStatusSlot(store.database, deps, { instanceId, expiresAt: NOW + 300, now: NOW }).page;
    expect(Array.from({ length: 64 }, claim)).toEqual(Array.from({ length: 64 }, (_, page) => page));
    expect(claim).toThrow(code("quota_exceeded"));
  });

  it("leave the table when they are over", () => {
    const store = createTestStore();
    const agent = store.root(store.owner(), { ttlSeconds: 7200 });
    for (let count = 0; count < 10; count += 1) placeOf(store, agent);
    placeOf(store, agent, NOW_MS + 602_000);
    expect(store.dump().status_slots).toHaveLength(1);
  });
});

describe("a status list", () => {
  it("says void for each token of the revoked, and for nobody else", () => {
    const store = createTestStore();
    const owner = store.owner();
    const [doomed, other] = [store.root(owner, { name: "doomed" }), store.root(owner, { name: "other" })];
    const places = [placeOf(store, doomed), placeOf(store, doomed), placeOf(store, other)];
    const statuses = () => places.map(({ idx }) => statusAt(store, idx));
    expect(statuses()).toEqual([0, 0, 0]);
    revoke(store, doomed);
    expect(statuses()).toEqual([1, 1, 0]);
  });

  it("says void up to the token's end, also when it was revoked in its last second", () => {
    const store = createTestStore();
    const agent = store.root(store.owner());
    const { idx } = placeOf(store, agent);
    revoke(store, agent, NOW_MS + 1000);
    expect(statusAt(store, idx, NOW_MS + 299_000)).toBe(1);
    expect(statusAt(store, idx, NOW_MS + 300_000)).toBe(0);
    const late = store.root(store.owner("bob"), { name: "late" });
    const place = placeOf(store, late);
    revoke(store, late, NOW_MS + 299_000);
    expect(statusAt(store, place.idx, NOW_MS + 299_500)).toBe(1);
  });

  it("is there from the start, and the next ones only once a token is on them", () => {
    const store = createTestStore();
    const read = (page: number) =>
      issueStatusList(store.database, { nowMs: NOW_MS, page, uri: `${LISTS}/${page}` }, store.deps);
    expect(decodeProtectedHeader(read(0).token).typ).toBe("statuslist+jwt");
    expect(() => read(1)).toThrow(TrustWardenError);
    expect(() => read(1)).toThrow(code("not_found"));
  });
});
