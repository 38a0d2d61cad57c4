/** Who may create whom: every refusal by its code, and nothing written by any of them. */
import { parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { encodeBase64, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { parseEnvelope, verifyEnvelope } from "@trustwarden/core/dsse.ts";
import { parseControlRecord } from "@trustwarden/core/event.ts";
import { describe, expect, test } from "vitest";
import type { IssueCommand } from "../ports.ts";
import {
  contextAt,
  createTestAuthority,
  createTestKey,
  createTestStore,
  grantCommand,
  NOW,
  NOW_MS,
  RULES,
  renewCommand,
  type TestStore,
  ticketCommand,
  verifierCommand,
} from "./fixture.test.support.ts";

/** Asserts the code, and that not one row of any table is another than before. */
function expectRefused(store: TestStore, command: IssueCommand, code: string): void {
  const before = store.dump();
  expect(() => store.run({ kind: "issue", command })).toThrow(expect.objectContaining({ code }));
  expect(store.dump()).toEqual(before);
}

const revokeAt = (store: TestStore, kind: "instance" | "agent" | "owner", id: string, nowMs = NOW_MS) =>
  store.run({ kind: "revoke", command: { context: contextAt(nowMs), target: { kind, id }, reason: "test" } });

describe("a ticket", () => {
  test("makes an agent with a whole identity", () => {
    const store = createTestStore();
    const owner = store.owner();
    const { identity } = store.root(owner);
    expect(identity).toMatchObject({
      ownerId: owner,
      path: "team/finance",
      name: "orchestrator",
      scope: ["read:tx", "write:reports"],
      chain: [`owner:${owner}`, identity.agentId],
      instanceExpiresAt: NOW + 3600,
      svidExpiresAt: NOW + 3600,
      ttlShortened: false,
    });
    expect(identity.spiffeId).toMatch(
      /^spiffe:\/\/acme\.test\/team\/finance\/orchestrator\/inst-[0-9A-Z]{26}$/,
    );
    const bundles = new Map([[parseTrustDomain("acme.test"), store.authority.bundle]]);
    expect(verifyX509Svid(identity.svidChain, bundles, NOW).id).toBe(identity.spiffeId);
  });

  test("is recorded with everything that proves it, signed by the server", () => {
    const store = createTestStore();
    const owner = store.owner();
    const command = ticketCommand(owner);
    const committed = store.run<{ readonly spiffeId: string; readonly svidChain: readonly Uint8Array[] }>({
      kind: "issue",
      command,
    });
    expect(committed.entries).toHaveLength(1);
    const envelope = parseEnvelope(parseUtf8(committed.entries[0] ?? new Uint8Array()));
    const record = parseControlRecord(verifyEnvelope(envelope, "control", store.deps.serverSigner.publicKey));
    expect(record).toMatchObject({
      event_id: committed.eventId,
      kind: "issue",
      allow: true,
      subject: committed.value.spiffeId,
      principal: "enrollee:test",
      intent_sha256: null,
      epoch: 0,
    });
    expect(record.details).toMatchObject({
      owner,
      parent: null,
      scope: ["read:tx", "write:reports"],
      custody: "agent",
      enrolment: command.enrolment,
      possession: command.possession,
      svid_chain: committed.value.svidChain.map(encodeBase64),
    });
    expect(
      store.database.all("SELECT svid_sha256 FROM server_svids").map((row) => row.text("svid_sha256")),
    ).toContain(envelope.unverifiedKeyid);
  });

  test("is single use, and unused after a refusal", () => {
    const store = createTestStore();
    const owner = store.owner();
    const command = ticketCommand(owner);
    expectRefused(store, { ...command, name: "inst-1" }, "name_malformed");
    store.run({ kind: "issue", command });
    expectRefused(store, { ...command, spki: createTestKey().spki }, "ticket_used");
  });

  test("has a number of its own issuer: nobody uses up another's", () => {
    const store = createTestStore();
    const [alice, bob] = [store.owner("alice"), store.owner("bob")];
    const { jti } = ticketCommand(alice);
    store.root(alice, { jti });
    expect(store.root(bob, { jti, name: "other" }).identity.ownerId).toBe(bob);
  });

  test("of an owner that is unknown or revoked makes nothing", () => {
    const store = createTestStore();
    const owner = store.owner();
    expectRefused(store, ticketCommand("own_01JABCDEFGHJKMNPQRSTVWXYZ0"), "owner_unknown");
    revokeAt(store, "owner", owner);
    expectRefused(store, ticketCommand(owner, { nowMs: NOW_MS + 60_000 }), "identity_revoked");
  });

  test("signed before the agent was revoked is void, signed after it is not", () => {
    const store = createTestStore();
    const owner = store.owner();
    const { identity } = store.root(owner);
    revokeAt(store, "agent", identity.agentId ?? "", NOW_MS + 10_000);
    const later = NOW_MS + 20_000;
    expectRefused(
      store,
      ticketCommand(owner, { nowMs: later, enrolmentIssuedAt: NOW + 10 }),
      "identity_revoked",
    );
    const again = store.root(owner, { nowMs: later, enrolmentIssuedAt: NOW + 11 });
    expect(again.identity.agentId).toBe(identity.agentId);
    expect(again.instanceId).not.toBe(identity.instanceId);
  });

  test("a wildcard verb or type lives at most an hour", () => {
    const store = createTestStore();
    const owner = store.owner();
    expectRefused(
      store,
      ticketCommand(owner, { scope: ["*:tx"], ttlSeconds: 3601 }),
      "scope_wildcard_too_long_lived",
    );
    expect(store.root(owner, { scope: ["*:tx"], ttlSeconds: 3600 }).identity.scope).toEqual(["*:tx"]);
  });

  test.each([0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 315_360_000])(
    "B15 refuses the ttl %d",
    (ttlSeconds) => {
      const store = createTestStore();
      expectRefused(store, ticketCommand(store.owner(), { ttlSeconds }), "ttl_malformed");
    },
  );

  test("of an odd name makes nothing", () => {
    const store = createTestStore();
    const owner = store.owner();
    expectRefused(store, ticketCommand(owner, { path: "trustwarden" }), "name_malformed");
    expectRefused(store, ticketCommand(owner, { name: "a/b" }), "name_malformed");
  });
});

describe("names", () => {
  test("a known name of the same owner is one more instance of the agent", () => {
    const store = createTestStore();
    const owner = store.owner();
    const [first, second] = [store.root(owner), store.root(owner)];
    expect(second.identity.agentId).toBe(first.identity.agentId);
    expect(second.instanceId).not.toBe(first.instanceId);
  });

  test("a name belongs to its first owner", () => {
    const store = createTestStore();
    store.root(store.owner("alice"));
    const bob = store.owner("bob");
    expectRefused(store, ticketCommand(bob), "name_taken");
    expect(store.root(bob, { path: "team/other" }).identity.path).toBe("team/other");
  });

  test("a name belongs to its first parent, and a parent's own name is not a child's", () => {
    const store = createTestStore();
    const owner = store.owner();
    const [one, two] = [store.root(owner), store.root(owner, { name: "second" })];
    store.child(one);
    expectRefused(store, grantCommand(two), "name_taken");
    expectRefused(store, ticketCommand(owner, { name: "child" }), "name_taken");
    expectRefused(store, grantCommand(one, { name: "orchestrator" }), "name_taken");
    expectRefused(store, grantCommand(one, { name: "second" }), "name_taken");
  });
});

describe("a grant", () => {
  const family = () => {
    const store = createTestStore();
    const root = store.root(store.owner());
    return { store, root };
  };

  test("makes a child with the whole chain", () => {
    const { store, root } = family();
    const child = store.child(root);
    const grandchild = store.child(child, {
      scope: [],
      limits: { depth: 0, fanOut: 0, budget: 0 },
      name: "leaf",
    });
    expect(grandchild.identity.chain).toEqual([
      `owner:${root.identity.ownerId}`,
      root.identity.agentId,
      child.identity.agentId,
      grandchild.identity.agentId,
    ]);
    expect(grandchild.identity.ownerId).toBe(root.identity.ownerId);
  });

  test("is single use", () => {
    const { store, root } = family();
    const command = grantCommand(root);
    store.run({ kind: "issue", command });
    expectRefused(store, { ...command, spki: createTestKey().spki }, "grant_used");
  });

  test("C1 a scope that reaches further names an action that shows it", () => {
    const { store, root } = family();
    const command = grantCommand(root, { scope: ["read:tx", "delete:tx"] });
    expectRefused(store, command, "scope_not_subset");
    expect(() => store.run({ kind: "issue", command })).toThrow(
      expect.objectContaining({ details: { counterexample: "delete:tx" } }),
    );
  });

  test("C2 the parent's own scope is refused in strict mode, and needs something smaller in narrowing mode", () => {
    const { store, root } = family();
    const same = {
      scope: ["read:tx", "write:reports"],
      ttlSeconds: 3600,
      limits: { depth: 1, fanOut: 4, budget: 100 },
    };
    expectRefused(store, grantCommand(root, { ...same, ttlSeconds: 600 }), "scope_not_subset");
    const other = createTestStore({ delegationMode: "narrowing" });
    const parent = other.root(other.owner());
    expectRefused(other, grantCommand(parent, same), "scope_not_subset");
    expect(other.child(parent, { ...same, ttlSeconds: 600 }).identity.scope).toEqual([
      "read:tx",
      "write:reports",
    ]);
  });

  test("B15 a lifetime beyond the parent's is cut to the second, and says so", () => {
    const { store, root } = family();
    const nowMs = NOW_MS + 1_000_000;
    const child = store.child(root, { ttlSeconds: 3600, nowMs });
    expect(child.identity).toMatchObject({ instanceExpiresAt: NOW + 3600, ttlShortened: true });
    const [leaf = new Uint8Array()] = child.identity.svidChain;
    expect(parseCertificate(leaf).notAfter).toBe(child.identity.svidExpiresAt);
    expect(child.identity.svidExpiresAt).toBeLessThanOrEqual(root.identity.instanceExpiresAt);
  });

  test("C11 a parent that is revoked, expired, or below the dead has no children", () => {
    const { store, root } = family();
    const child = store.child(root);
    const leaf = { scope: [], limits: { depth: 0, fanOut: 0, budget: 0 }, name: "leaf" };
    expectRefused(store, grantCommand(root, { nowMs: NOW_MS + 3_600_000 }), "ancestor_dead");
    revokeAt(store, "instance", root.instanceId);
    expectRefused(store, grantCommand(root), "ancestor_dead");
    expectRefused(store, grantCommand(child, leaf), "ancestor_dead");
  });

  test("C11 holds where the mark on the parent itself is missing", () => {
    const { store, root } = family();
    const child = store.child(root);
    store.database.run("UPDATE instances SET revoked_epoch = 1 WHERE instance_id = ?", root.instanceId);
    expectRefused(
      store,
      grantCommand(child, { scope: [], limits: { depth: 0, fanOut: 0, budget: 0 } }),
      "ancestor_dead",
    );
  });

  test("needs a live SVID of exactly that parent", () => {
    const { store, root } = family();
    const other = store.root(root.identity.ownerId ?? "", { name: "other" });
    const { instanceId } = root;
    expectRefused(store, grantCommand({ instanceId, svidSha256: other.svidSha256 }), "svid_mismatch");
    expectRefused(store, grantCommand({ instanceId, svidSha256: "A".repeat(43) }), "svid_mismatch");
    expectRefused(store, grantCommand({ ...root, instanceId: "inst-unknown" }), "instance_unknown");
    const short = store.root(root.identity.ownerId ?? "", { name: "short", scope: ["delete:tx", "read:tx"] });
    expectRefused(store, grantCommand(short, { nowMs: NOW_MS + 600_000 }), "svid_expired");
    expect(store.child(short, { nowMs: NOW_MS + 599_000 }).identity.ownerId).toBe(root.identity.ownerId);
  });

  test("is for the parent's own path, and never a verifier's", () => {
    const { store, root } = family();
    expectRefused(store, grantCommand(root, { path: "team" }), "grant_invalid");
    const verifier = store.verifier();
    expectRefused(store, grantCommand(verifier, { path: "trustwarden/verifier" }), "grant_invalid");
  });

  test("depth, fan-out and budget hold, the latter two over live siblings", () => {
    const { store, root } = family();
    expectRefused(
      store,
      grantCommand(root, { limits: { depth: 2, fanOut: 4, budget: 1 } }),
      "limits_not_narrower",
    );
    expectRefused(
      store,
      grantCommand(root, { limits: { depth: 1, fanOut: 5, budget: 1 } }),
      "limits_not_narrower",
    );
    expectRefused(
      store,
      grantCommand(root, { limits: { depth: 1, fanOut: 4, budget: null } }),
      "limits_not_narrower",
    );
    const limits = { depth: 1, fanOut: 4, budget: 60 };
    const first = store.child(root, { limits });
    expectRefused(store, grantCommand(root, { limits: { ...limits, budget: 41 } }), "budget_exceeded");
    store.child(root, { limits: { ...limits, budget: 40 } });
    const free = { limits: { ...limits, budget: 0 } };
    store.child(root, free);
    store.child(root, free);
    expectRefused(store, grantCommand(root, free), "fan_out_exceeded");
    revokeAt(store, "instance", first.instanceId);
    store.child(root, { limits: { ...limits, budget: 60 } });
    expectRefused(store, grantCommand(root, free), "fan_out_exceeded");
    const leafParent = store.child(store.root(root.identity.ownerId ?? "", { name: "r2" }), {
      name: "c2",
      limits: { depth: 0, fanOut: 0, budget: 0 },
    });
    expectRefused(store, grantCommand(leafParent, { scope: [] }), "depth_exceeded");
  });

  test("budget and fan-out of expired children are free again", () => {
    const { store, root } = family();
    store.child(root, { ttlSeconds: 100, limits: { depth: 1, fanOut: 4, budget: 100 } });
    const again = { nowMs: NOW_MS + 100_000, limits: { depth: 1, fanOut: 4, budget: 100 } };
    expectRefused(store, grantCommand(root, { ...again, nowMs: NOW_MS + 99_000 }), "budget_exceeded");
    expect(store.child(root, again).identity.limits.budget).toBe(100);
  });

  test("signed before the child's last revocation is void", () => {
    const { store, root } = family();
    const child = store.child(root);
    revokeAt(store, "agent", child.identity.agentId ?? "", NOW_MS + 5000);
    expectRefused(
      store,
      grantCommand(root, { nowMs: NOW_MS + 6000, enrolmentIssuedAt: NOW + 5 }),
      "identity_revoked",
    );
    store.child(root, { nowMs: NOW_MS + 7000, enrolmentIssuedAt: NOW + 6 });
  });
});

describe("quotas", () => {
  test("A1 an owner has as many agents as the quota says, and revoking one frees its place", () => {
    const store = createTestStore({ quotas: { ...RULES.quotas, agentsPerOwner: 2 } });
    const owner = store.owner();
    const first = store.root(owner, { name: "a" });
    store.root(owner, { name: "b" });
    expectRefused(store, ticketCommand(owner, { name: "c" }), "quota_exceeded");
    expectRefused(store, grantCommand(first), "quota_exceeded");
    store.root(owner, { name: "b" });
    revokeAt(store, "agent", first.identity.agentId ?? "");
    store.root(owner, { name: "c" });
    expectRefused(store, ticketCommand(owner, { name: "a", enrolmentIssuedAt: NOW + 1 }), "quota_exceeded");
    store.root(store.owner("bob"), { name: "d" });
  });

  test("live instances are counted, expired ones are not", () => {
    const store = createTestStore({ quotas: { ...RULES.quotas, liveInstancesPerOwner: 2 } });
    const owner = store.owner();
    store.root(owner, { ttlSeconds: 60 });
    store.root(owner);
    expectRefused(store, ticketCommand(owner, { nowMs: NOW_MS + 59_000 }), "quota_exceeded");
    store.root(owner, { nowMs: NOW_MS + 60_000 });
  });

  test("births within an hour are counted, dead or alive", () => {
    const store = createTestStore({ quotas: { ...RULES.quotas, issuesPerOwnerPerHour: 2 } });
    const owner = store.owner();
    revokeAt(store, "instance", store.root(owner).instanceId);
    revokeAt(store, "instance", store.root(owner).instanceId);
    expectRefused(store, ticketCommand(owner, { nowMs: NOW_MS + 3_599_000 }), "quota_exceeded");
    store.root(owner, { nowMs: NOW_MS + 3_600_000 });
  });
});

describe("keys", () => {
  test("B8 a key is never used twice: by the same agent, another, a verifier, an owner, or after revocation", () => {
    const store = createTestStore();
    const owner = store.owner();
    const { key, instanceId } = store.root(owner);
    expectRefused(store, ticketCommand(owner, { key }), "key_reused");
    expectRefused(store, verifierCommand({ key }), "key_reused");
    revokeAt(store, "instance", instanceId);
    expectRefused(store, ticketCommand(owner, { key }), "key_reused");
    const verifier = store.verifier();
    expectRefused(store, ticketCommand(owner, { key: verifier.key }), "key_reused");
    expectRefused(store, { ...ticketCommand(owner), spki: store.deps.serverSpki }, "key_reused");
    const ownerKey = createTestKey();
    store.run({
      kind: "createOwner",
      command: { context: contextAt(NOW_MS), name: "carol", spki: ownerKey.spki },
    });
    expectRefused(store, ticketCommand(owner, { key: ownerKey }), "key_reused");
  });

  test("B8 a key used in a renewal is used", () => {
    const store = createTestStore();
    const owner = store.owner();
    const root = store.root(owner);
    const key = createTestKey();
    store.run({ kind: "renew", command: renewCommand(root, { key }) });
    expectRefused(store, ticketCommand(owner, { key }), "key_reused");
  });

  test("B8 bytes that are no P-256 key are refused", () => {
    const store = createTestStore();
    const owner = store.owner();
    expectRefused(store, { ...ticketCommand(owner), spki: new Uint8Array(91) }, "public_key_refused");
  });
});

describe("SVID lifetimes", () => {
  test.each<[readonly string[], number]>([
    [["read:tx"], 3600],
    [["write:tx", "read:*"], 600],
    [["read:tx", "write:*"], 3600],
    [["delete:tx"], 600],
    [["teleport:tx"], 600],
    [["read:secrets:a"], 600],
    [["*:tx"], 600],
    [[], 3600],
  ])("the scope %j gives SVIDs of %d seconds", (scope, seconds) => {
    const store = createTestStore();
    const { identity } = store.root(store.owner(), { scope, ttlSeconds: 3600 });
    expect(identity.svidExpiresAt).toBe(NOW + seconds);
  });

  test("B15 an SVID ends no later than its authority", () => {
    const authority = createTestAuthority({ intermediateTtlSeconds: 100 });
    const store = createTestStore({}, authority);
    const { identity } = store.root(store.owner());
    expect(identity.svidExpiresAt).toBe(NOW - 1 + 100);
    const [leaf = new Uint8Array()] = identity.svidChain;
    expect(parseCertificate(leaf).notAfter).toBe(identity.svidExpiresAt);
  });
});

describe("a verifier's ticket", () => {
  test("makes a verifier without owner, agent or scope", () => {
    const store = createTestStore();
    const { identity } = store.verifier({ ttlSeconds: 86_400 });
    expect(identity).toMatchObject({
      agentId: null,
      ownerId: null,
      chain: [],
      scope: [],
      instanceExpiresAt: NOW + 86_400,
    });
    expect(identity.spiffeId).toMatch(
      /^spiffe:\/\/acme\.test\/trustwarden\/verifier\/finance-db\/inst-[0-9A-Z]{26}$/,
    );
  });

  test("is single use, and its name has no path", () => {
    const store = createTestStore();
    const command = verifierCommand();
    store.run({ kind: "issue", command });
    expectRefused(store, { ...command, spki: createTestKey().spki }, "ticket_used");
    expectRefused(store, verifierCommand({ name: "a/b" }), "name_malformed");
  });
});

describe("the ledger", () => {
  test("an event that the ledger would refuse is refused before anything is issued", () => {
    const store = createTestStore();
    const owner = store.owner();
    expectRefused(store, { ...ticketCommand(owner), enrolment: "x".repeat(16_384) }, "entry_too_large");
  });
});
