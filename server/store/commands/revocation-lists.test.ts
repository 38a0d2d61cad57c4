import { randomBytes } from "node:crypto";
import { issueOnlineIntermediate } from "@trustwarden/core/agentid/authority.ts";
import { parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { verifyCertificateRevocationList } from "@trustwarden/core/agentid/certificate-revocation-list.ts";
import { parseCaCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { describe, expect, it } from "vitest";
import type { IssuedIdentity } from "../ports.ts";
import type { RevokeCommand } from "../revocation-ports.ts";
import { findInstance } from "../sqlite-instance.ts";
import {
  contextAt,
  createTestKey,
  createTestStore,
  NOW,
  NOW_MS,
  renewCommand,
  type TestIdentity,
  type TestStore,
} from "./fixture.test.support.ts";
import { issueCrls } from "./revocation-lists.ts";
import { issueClassSvid } from "./svid.ts";

const code = (name: string) => expect.objectContaining({ code: name });

function revoke(store: TestStore, target: RevokeCommand["target"], nowMs = NOW_MS): void {
  store.run({ kind: "revoke", command: { context: contextAt(nowMs), target, reason: "test" } });
}

const serialOf = ({ identity: { svidChain } }: TestIdentity) => serialOfChain(svidChain);

function serialOfChain([leaf = new Uint8Array()]: readonly Uint8Array[]): string {
  return parseCertificate(leaf).serialHex;
}

/** The serials of the list of the authority that issues now. */
function listedAt(store: TestStore, nowMs = NOW_MS): readonly string[] {
  const [first = new Uint8Array()] = issueCrls(store.database, { nowMs }, store.deps).lists;
  const list = verifyCertificateRevocationList(first, store.deps.intermediate, Math.floor(nowMs / 1000));
  return list.revoked.map(({ serialHex }) => serialHex);
}

describe("the revocation lists", () => {
  it("name nobody while nobody is revoked", () => {
    const store = createTestStore();
    store.root(store.owner());
    expect(listedAt(store)).toEqual([]);
  });

  it("name every unexpired SVID of a revoked instance, the renewed one too, with date and reason", () => {
    const store = createTestStore();
    const agent = store.root(store.owner());
    const renewed = store.run<IssuedIdentity>({ kind: "renew", command: renewCommand(agent) }).value;
    revoke(store, { kind: "instance", id: agent.instanceId }, NOW_MS + 5000);
    const { lists, epoch } = issueCrls(store.database, { nowMs: NOW_MS + 9000 }, store.deps);
    const [der = new Uint8Array()] = lists;
    const { revoked } = verifyCertificateRevocationList(der, store.deps.intermediate, NOW + 9);
    expect(revoked.map(({ serialHex }) => serialHex).sort()).toEqual(
      [serialOf(agent), serialOfChain(renewed.svidChain)].sort(),
    );
    expect(new Set(revoked.map(({ revokedAt, reason }) => `${revokedAt} ${reason}`))).toEqual(
      new Set([`${NOW + 5} privilege_withdrawn`]),
    );
    expect([lists.length, epoch]).toEqual([1, 1]);
  });

  it("name the whole subtree of an instance, of an agent, of an owner, and a verifier", () => {
    const store = createTestStore();
    const family = (owner: string) => {
      const parent = store.root(owner, { name: "parent" });
      const child = store.child(parent, { name: "child" });
      return [
        parent,
        child,
        store.child(child, { name: "grandchild", scope: [], limits: { depth: 0, fanOut: 0, budget: 1 } }),
      ] as const;
    };
    const alice = family(store.owner("alice"));
    const verifier = store.verifier();
    const stranger = store.root(store.owner("bob"), { name: "stranger" });
    revoke(store, { kind: "instance", id: alice[1].instanceId });
    expect(listedAt(store)).toEqual([serialOf(alice[1]), serialOf(alice[2])].sort());
    revoke(store, { kind: "agent", id: alice[0].identity.agentId ?? "" });
    expect(listedAt(store)).toEqual(alice.map(serialOf).sort());
    revoke(store, { kind: "instance", id: verifier.instanceId });
    expect(listedAt(store)).toEqual([...alice, verifier].map(serialOf).sort());
    revoke(store, { kind: "owner", id: stranger.identity.ownerId ?? "" });
    expect(listedAt(store)).toEqual([...alice, verifier, stranger].map(serialOf).sort());
  });

  it("name the class SVID of a revoked instance, which dies with it", () => {
    const store = createTestStore();
    const agent = store.root(store.owner());
    const instance = findInstance(store.database, agent.instanceId);
    if (instance === undefined) throw new Error("the agent was just made");
    const { spki } = createTestKey();
    const { serial } = issueClassSvid(store.database, store.deps, { instance, spki, now: NOW });
    expect(listedAt(store)).toEqual([]);
    revoke(store, { kind: "instance", id: agent.instanceId });
    expect(listedAt(store)).toEqual([serial, serialOf(agent)].sort());
  });

  it("do not name an instance that was only narrowed", () => {
    const store = createTestStore();
    const agent = store.root(store.owner());
    const { instanceId } = agent;
    const scope = parseScope(["read:tx"]);
    store.run({ kind: "narrow", command: { context: contextAt(NOW_MS), instanceId, scope } });
    expect(listedAt(store)).toEqual([]);
  });

  it("name a certificate until an hour after its end, and not a second longer", () => {
    const store = createTestStore();
    const agent = store.root(store.owner(), { ttlSeconds: 600 });
    const ended = serialOf(agent);
    revoke(store, { kind: "instance", id: agent.instanceId }, NOW_MS + 1000);
    const end = NOW_MS + 600_000;
    expect(listedAt(store, end)).toEqual([ended]);
    expect(listedAt(store, end + 3_600_000)).toEqual([ended]);
    expect(listedAt(store, end + 3_601_000)).toEqual([]);
  });

  it("have numbers that only rise", () => {
    const store = createTestStore();
    const numberAt = (nowMs: number) => {
      const [der = new Uint8Array()] = issueCrls(store.database, { nowMs }, store.deps).lists;
      return verifyCertificateRevocationList(der, store.deps.intermediate, Math.floor(nowMs / 1000)).number;
    };
    expect([numberAt(NOW_MS), numberAt(NOW_MS), numberAt(NOW_MS + 1000)]).toEqual([1, 2, 3]);
  });

  it("go on for an authority that was renewed under its key, as long as its SVIDs may be in use", () => {
    const store = createTestStore();
    const before = store.root(store.owner("alice"));
    const old = store.deps.intermediate;
    const rootSigner = createTestKey().signer;
    const renewed = parseCaCertificate(
      issueOnlineIntermediate({
        trustDomain: store.deps.trustDomain,
        root: {
          ...old,
          subject: old.issuer,
          pathLen: 1,
          publicKey: rootSigner.publicKey,
          ski: old.aki ?? old.ski,
        },
        rootSigner,
        intermediateSigner: store.deps.intermediateSigner,
        random: randomBytes,
        now: NOW,
      }),
      store.deps.trustDomain,
    );
    const next: TestStore = { ...store, deps: { ...store.deps, intermediate: renewed } };
    revoke(store, { kind: "instance", id: before.instanceId });
    const { lists } = issueCrls(store.database, { nowMs: NOW_MS }, next.deps);
    expect(lists).toHaveLength(2);
    const [ofRenewed = new Uint8Array(), ofOld = new Uint8Array()] = lists;
    expect(verifyCertificateRevocationList(ofRenewed, renewed, NOW).revoked).toEqual([]);
    const { revoked } = verifyCertificateRevocationList(ofOld, old, NOW);
    expect(revoked.map(({ serialHex }) => serialHex)).toEqual([serialOf(before)]);
    const later = NOW_MS + 2 * 3_600_000 + 1000;
    expect(issueCrls(store.database, { nowMs: later }, next.deps).lists).toHaveLength(1);
  });

  it("are not made by an authority that has ended", () => {
    const store = createTestStore();
    const nowMs = store.deps.intermediate.notAfter * 1000;
    expect(() => issueCrls(store.database, { nowMs }, store.deps)).toThrow(code("authority_expired"));
  });
});
