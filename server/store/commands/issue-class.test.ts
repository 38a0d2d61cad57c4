/** Class SVIDs of agents that enrol and renew themselves, inside the transaction that issues the instance's. */
import { parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { encodeBase64, encodeBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import { describe, expect, test } from "vitest";
import type { Committed, IssuedIdentity } from "../ports.ts";
import { createReads } from "../reads.ts";
import type { WriterCommand } from "../writer-protocol.ts";
import {
  contextAt,
  createTestKey,
  createTestStore,
  grantCommand,
  NOW,
  NOW_MS,
  renewCommand,
  type TestStore,
  ticketCommand,
  verifierCommand,
} from "./fixture.test.support.ts";

const withClass = (key = createTestKey()) => ({ classKey: { spki: key.spki, possession: "{}" } });

function expectRefused(store: TestStore, command: WriterCommand, code: string): void {
  const before = store.dump();
  expect(() => store.run(command)).toThrow(expect.objectContaining({ code }));
  expect(store.dump()).toEqual(before);
}

const issuing = (store: TestStore, members: object = withClass()): WriterCommand => ({
  kind: "issue",
  command: { ...ticketCommand(store.owner()), ...members },
});

function leafOf({ value }: Committed<IssuedIdentity>): Uint8Array {
  const [leaf] = value.classSvidChain ?? [];
  if (leaf === undefined) throw new Error("no class SVID");
  return leaf;
}

function detailsOf({ entries }: Committed<unknown>): unknown {
  const text = parseUtf8(entries.at(-1) ?? new Uint8Array());
  return parseUnverifiedPayload(parseEnvelope(text)).details;
}

describe("a class SVID of an agent", () => {
  test("is issued and renewed with the instance's, ends with it, and is in the same event", () => {
    const store = createTestStore();
    const born = store.run<IssuedIdentity>(issuing(store));
    const { instanceId, svidExpiresAt, svidChain, spiffeId } = born.value;
    const leaf = parseCertificate(leafOf(born));
    expect(leaf.uris).toEqual([spiffeId.slice(0, spiffeId.lastIndexOf("/"))]);
    expect(leaf.notAfter).toBe(svidExpiresAt);
    expect(detailsOf(born)).toMatchObject({ class_svid: encodeBase64(leafOf(born)) });
    const svidSha256 = encodeBase64url(sha256(svidChain[0] ?? new Uint8Array()));
    const own = { instanceId, svidSha256 };
    const command = { ...renewCommand(own), ...withClass() };
    const renewed = store.run<IssuedIdentity>({ kind: "renew", command });
    expect(detailsOf(renewed)).toMatchObject({ class_svid: encodeBase64(leafOf(renewed)) });
    const without = store.run<IssuedIdentity>({ kind: "renew", command: renewCommand(own) });
    expect([without.value.classSvidChain, detailsOf(without)]).toEqual([
      null,
      expect.objectContaining({ class_svid: null }),
    ]);
  });

  test("ends with an instance that has less time left than an SVID lasts", () => {
    const store = createTestStore();
    const short = { ...ticketCommand(store.owner(), { ttlSeconds: 90 }), ...withClass() };
    const born = store.run<IssuedIdentity>({ kind: "issue", command: short });
    expect(parseCertificate(leafOf(born)).notAfter).toBe(NOW + 90);
  });

  test("proves no instance: it renews nothing, grants nothing and is not found", () => {
    const store = createTestStore();
    const born = store.run<IssuedIdentity>(issuing(store));
    const ofClass = {
      instanceId: born.value.instanceId,
      svidSha256: encodeBase64url(sha256(leafOf(born))),
    };
    expect(createReads(store.database, () => NOW).findSvid(ofClass.svidSha256)).toBeUndefined();
    expectRefused(store, { kind: "renew", command: renewCommand(ofClass) }, "svid_mismatch");
    expectRefused(store, { kind: "issue", command: grantCommand(ofClass) }, "svid_mismatch");
  });

  test("needs a key that nobody had, the instance included", () => {
    const store = createTestStore();
    const key = createTestKey();
    const same = { ...ticketCommand(store.owner(), { key }), ...withClass(key) };
    expectRefused(store, { kind: "issue", command: same }, "key_reused");
  });

  test("is refused to a verifier, and to an instance that was revoked", () => {
    const store = createTestStore();
    const verifier = { ...verifierCommand(), ...withClass() };
    expectRefused(store, { kind: "issue", command: verifier }, "principal_refused");
    const { instanceId, svidSha256 } = store.root(store.owner());
    const target = { kind: "instance", id: instanceId } as const;
    store.run({ kind: "revoke", command: { context: contextAt(NOW_MS), target, reason: "" } });
    const late = { ...renewCommand({ instanceId, svidSha256 }), ...withClass() };
    expectRefused(store, { kind: "renew", command: late }, "identity_revoked");
  });
});
