/** Renewal, revocation, narrowing, owners, tickets and tokens: what each changes, and what each is refused for. */
import { verifyVerifierTicket } from "@trustwarden/core/agentid/enrolment.ts";
import { verifyJwtSvid } from "@trustwarden/core/agentid/jwt-svid.ts";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { encodeBase64, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import { parseControlRecord, parseIntent } from "@trustwarden/core/event.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { describe, expect, test } from "vitest";
import type { CommandContext, Committed, IssuedIdentity, ServerSvid } from "../ports.ts";
import { createReads } from "../reads.ts";
import type { Revoked } from "../revocation-ports.ts";
import type { WriterCommand } from "../writer-protocol.ts";
import {
  contextAt,
  createTestKey,
  createTestStore,
  grantCommand,
  intentOf,
  NOW,
  NOW_MS,
  RULES,
  renewCommand,
  type TestStore,
  ticketCommand,
} from "./fixture.test.support.ts";

const trustDomain = parseTrustDomain("acme.test");
const LEAF = { scope: [], limits: { depth: 0, fanOut: 0, budget: 0 }, name: "leaf" } as const;

function expectRefused(store: TestStore, command: WriterCommand, code: string): void {
  const before = store.dump();
  expect(() => store.run(command)).toThrow(expect.objectContaining({ code }));
  expect(store.dump()).toEqual(before);
}

const revocation = (
  kind: "instance" | "agent" | "owner",
  id: string,
  context: CommandContext = contextAt(NOW_MS),
): WriterCommand => ({ kind: "revoke", command: { context, target: { kind, id }, reason: "test" } });
const narrowing = (instanceId: string, scope: readonly string[]): WriterCommand => ({
  kind: "narrow",
  command: { context: contextAt(NOW_MS), instanceId, scope: parseScope(scope) },
});
const recordOf = ({ entries }: Committed<unknown>) =>
  parseControlRecord(parseUnverifiedPayload(parseEnvelope(parseUtf8(entries.at(-1) ?? new Uint8Array()))));

/** A root with two children, the first of which has a child of its own; and another owner's agent. */
function family() {
  const store = createTestStore();
  const owner = store.owner();
  const root = store.root(owner);
  const child = store.child(root, { limits: { depth: 1, fanOut: 1, budget: 1 } });
  const sibling = store.child(root, { name: "sibling" });
  const leaf = store.child(child, LEAF);
  const stranger = store.root(store.owner("bob"), { name: "stranger" });
  const reads = createReads(store.database, () => NOW);
  const isDead = (instance: { readonly instanceId: string }) =>
    reads.findInstance(instance.instanceId)?.isRevoked === true;
  return { store, reads, owner, root, child, sibling, leaf, stranger, isDead };
}

describe("renew", () => {
  test("gives a fresh SVID and moves no end", () => {
    const { store, root } = family();
    const nowMs = NOW_MS + 1_800_000;
    const committed = store.run<IssuedIdentity>({ kind: "renew", command: renewCommand(root, { nowMs }) });
    expect(committed.value).toMatchObject({
      spiffeId: root.identity.spiffeId,
      instanceExpiresAt: root.identity.instanceExpiresAt,
      svidExpiresAt: NOW + 3600,
      chain: root.identity.chain,
    });
    const bundles = new Map([[trustDomain, store.authority.bundle]]);
    expect(verifyX509Svid(committed.value.svidChain, bundles, NOW + 1800).id).toBe(root.identity.spiffeId);
    expect(recordOf(committed)).toMatchObject({
      kind: "renew",
      subject: root.identity.spiffeId,
      details: { renewed_svid_sha256: root.svidSha256 },
    });
  });

  test("works under any live SVID of the instance, and no other", () => {
    const { store, root, child } = family();
    store.run({ kind: "renew", command: renewCommand(root) });
    store.run({ kind: "renew", command: renewCommand(root) });
    const { svidSha256 } = child;
    expectRefused(store, { kind: "renew", command: renewCommand({ ...root, svidSha256 }) }, "svid_mismatch");
    const expired = renewCommand(root, { nowMs: NOW_MS + 3_600_000 });
    expectRefused(store, { kind: "renew", command: expired }, "identity_expired");
    expectRefused(
      store,
      { kind: "renew", command: renewCommand({ instanceId: "inst-x", svidSha256 }) },
      "instance_unknown",
    );
  });

  test("an expired SVID renews nothing while its instance lives", () => {
    const store = createTestStore();
    const root = store.root(store.owner(), { scope: ["delete:tx"] });
    const late = renewCommand(root, { nowMs: NOW_MS + 600_000 });
    expectRefused(store, { kind: "renew", command: late }, "svid_expired");
    store.run({ kind: "renew", command: renewCommand(root, { nowMs: NOW_MS + 599_000 }) });
  });

  test("needs a fresh key", () => {
    const { store, root } = family();
    expectRefused(store, { kind: "renew", command: renewCommand(root, { key: root.key }) }, "key_reused");
  });

  test("B18 is refused for the revoked, and for whoever is below the revoked", () => {
    const { store, root, child, leaf } = family();
    store.run(revocation("instance", child.instanceId));
    expectRefused(store, { kind: "renew", command: renewCommand(child) }, "identity_revoked");
    expectRefused(store, { kind: "renew", command: renewCommand(leaf) }, "identity_revoked");
    store.run({ kind: "renew", command: renewCommand(root) });
  });

  test("is refused below the dead where the mark is missing", () => {
    const { store, root, child } = family();
    store.database.run("UPDATE instances SET revoked_epoch = 1 WHERE instance_id = ?", root.instanceId);
    expectRefused(store, { kind: "renew", command: renewCommand(child) }, "ancestor_dead");
  });

  test("a narrowed scope gets the SVID lifetime of what is left", () => {
    const store = createTestStore();
    const root = store.root(store.owner(), { scope: ["delete:tx", "read:tx"] });
    store.run(narrowing(root.instanceId, ["read:tx"]));
    const { value } = store.run<IssuedIdentity>({ kind: "renew", command: renewCommand(root) });
    expect(value).toMatchObject({ scope: ["read:tx"], svidExpiresAt: NOW + 3600 });
  });

  test("a verifier renews too", () => {
    const store = createTestStore();
    const verifier = store.verifier();
    const { value } = store.run<IssuedIdentity>({ kind: "renew", command: renewCommand(verifier) });
    expect(value.spiffeId).toBe(verifier.identity.spiffeId);
  });
});

describe("revoke", () => {
  test("an instance dies with everything below it, and nothing else does", () => {
    const { store, reads, child, leaf, root, sibling, stranger, isDead } = family();
    const committed = store.run<Revoked>(revocation("instance", child.instanceId));
    expect(committed).toMatchObject({ value: { instances: 2 }, epoch: 1 });
    expect([child, leaf, root, sibling, stranger].map(isDead)).toEqual([true, true, false, false, false]);
    expect(reads.targetsSince(0)).toEqual([{ epoch: 1, kind: "instance", id: child.instanceId }]);
    expect(recordOf(committed)).toMatchObject({
      kind: "revoke",
      epoch: 1,
      subject: child.identity.spiffeId,
      chain: child.identity.chain,
      details: { target_kind: "instance", target_id: child.instanceId, reason: "test", instances: 2 },
    });
  });

  test("an agent dies with all its instances and all agents below", () => {
    const { store, reads, owner, root, child, sibling, leaf, stranger, isDead } = family();
    const second = store.root(owner);
    const { value } = store.run<Revoked>(revocation("agent", root.identity.agentId ?? ""));
    expect(value.instances).toBe(5);
    expect([root, second, child, sibling, leaf, stranger].map(isDead)).toEqual([
      true,
      true,
      true,
      true,
      true,
      false,
    ]);
    expect(reads.findAgent(leaf.identity.agentId ?? "")?.isRevoked).toBe(true);
    expect(reads.findAgent(stranger.identity.agentId ?? "")?.isRevoked).toBe(false);
  });

  test("an owner dies with everything it owns", () => {
    const { store, reads, owner, root, leaf, stranger, isDead } = family();
    expect(store.run<Revoked>(revocation("owner", owner)).value.instances).toBe(4);
    expect([root, leaf, stranger].map(isDead)).toEqual([true, true, false]);
    expect(reads.findOwner(owner)?.isRevoked).toBe(true);
    expect(reads.findOwnerByName("bob")?.isRevoked).toBe(false);
  });

  test("is idempotent: the dead stay dead, under a new epoch", () => {
    const { store, child, isDead } = family();
    store.run(revocation("instance", child.instanceId));
    const again = store.run<Revoked>(revocation("instance", child.instanceId));
    expect(again).toMatchObject({ value: { instances: 0 }, epoch: 2 });
    expect(isDead(child)).toBe(true);
  });

  test("does not count the expired among those who died", () => {
    const { store, root } = family();
    const context = contextAt(NOW_MS + 600_000);
    expect(store.run<Revoked>(revocation("instance", root.instanceId, context)).value.instances).toBe(1);
  });

  test("a target that does not exist is not found", () => {
    const { store, root } = family();
    expectRefused(store, revocation("instance", "inst-x"), "not_found");
    expectRefused(store, revocation("agent", root.instanceId), "not_found");
    expectRefused(store, revocation("owner", "own_x"), "not_found");
  });

  test("a verifier dies too", () => {
    const store = createTestStore();
    const { instanceId } = store.verifier();
    expect(store.run<Revoked>(revocation("instance", instanceId)).value.instances).toBe(1);
  });

  test("C7 ten thousand descendants die in one epoch", () => {
    const store = createTestStore();
    const root = store.root(store.owner());
    store.database.run(
      `WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
       INSERT INTO instances SELECT 'inst-' || i, kind, spiffe_id || i, agent_id, owner_id,
         CASE WHEN i < 100 THEN ? ELSE 'inst-' || (i / 10) END, path, name, scope, depth, fan_out, budget,
         custody, attested, composition_sha256, node_instance_id, entry_id, created_at, expires_at, NULL FROM n, instances WHERE instance_id = ?`,
      root.instanceId,
      root.instanceId,
    );
    expect(store.run<Revoked>(revocation("instance", root.instanceId)).value.instances).toBe(10_001);
  });
});

describe("narrow", () => {
  test("replaces the scope by a subset, and takes an epoch", () => {
    const { store, reads, root, child } = family();
    const committed = store.run(narrowing(root.instanceId, ["write:reports"]));
    expect(committed.epoch).toBe(1);
    expect(reads.findInstance(root.instanceId)?.scope).toEqual(["write:reports"]);
    expect(reads.findInstance(child.instanceId)?.scope).toEqual(["read:tx"]);
    expect(reads.targetsSince(0)).toEqual([{ epoch: 1, kind: "narrowed", id: root.instanceId }]);
    expect(recordOf(committed)).toMatchObject({
      kind: "narrow",
      details: { scope: ["write:reports"], previous_scope: ["read:tx", "write:reports"] },
    });
  });

  test("may keep the scope and may take all of it, but never widens", () => {
    const { store, reads, root } = family();
    store.run(narrowing(root.instanceId, ["read:tx", "write:reports"]));
    const wider = narrowing(root.instanceId, ["read:tx", "read:other"]);
    expectRefused(store, wider, "scope_not_subset");
    expect(() => store.run(wider)).toThrow(
      expect.objectContaining({ details: { counterexample: "read:other" } }),
    );
    store.run(narrowing(root.instanceId, []));
    expect(reads.findInstance(root.instanceId)?.scope).toEqual([]);
    expectRefused(store, narrowing(root.instanceId, ["read:tx"]), "scope_not_subset");
  });

  test("C6 a child may not be given what its parent has lost", () => {
    const { store, root } = family();
    store.run(narrowing(root.instanceId, ["write:reports"]));
    expectRefused(
      store,
      { kind: "issue", command: grantCommand(root, { name: "late" }) },
      "scope_not_subset",
    );
  });

  test("the unknown and verifiers are not found", () => {
    const store = createTestStore();
    expectRefused(store, narrowing("inst-x", []), "not_found");
    expectRefused(store, narrowing(store.verifier().instanceId, []), "not_found");
  });
});

describe("an agent's command", () => {
  test("is logged directly after its intent, under the intent's event id", () => {
    const { store, child } = family();
    const intent = intentOf(child);
    const committed = store.run(revocation("instance", child.instanceId, contextAt(NOW_MS, intent)));
    expect(committed.eventId).toBe(intent.eventId);
    expect(committed.entries.map(parseUtf8)[0]).toBe(intent.envelope);
    const [first = new Uint8Array()] = committed.entries;
    expect(parseIntent(parseUnverifiedPayload(parseEnvelope(parseUtf8(first)))).event_id).toBe(
      intent.eventId,
    );
    expect(recordOf(committed)).toMatchObject({ event_id: intent.eventId, intent_sha256: intent.sha256 });
  });

  test("acts once: the same intent again is a replay, also for another command", () => {
    const { store, root, child } = family();
    const context = contextAt(NOW_MS, intentOf(root));
    store.run(revocation("instance", child.instanceId, context));
    expectRefused(store, revocation("instance", child.instanceId, context), "intent_replayed");
    const renewal = { ...renewCommand(root), context };
    expectRefused(store, { kind: "renew", command: renewal }, "intent_replayed");
  });

  test("another agent's event id is not used up by it", () => {
    const { store, root, child } = family();
    const intent = intentOf(root);
    store.run(revocation("instance", child.instanceId, contextAt(NOW_MS, intent)));
    const stranger = store.root(store.owner("carol"), { name: "carols" });
    const same = intentOf(stranger, { eventId: intent.eventId });
    store.run(revocation("instance", stranger.instanceId, contextAt(NOW_MS, same)));
  });

  test("of an agent that died since it was authenticated does nothing", () => {
    const { store, root, child, sibling } = family();
    store.run(revocation("instance", child.instanceId));
    const late = contextAt(NOW_MS, intentOf(child));
    expectRefused(store, revocation("instance", sibling.instanceId, late), "identity_revoked");
    const ended = contextAt(NOW_MS + 3_600_000, intentOf(root, { nowMs: NOW_MS + 3_600_000 }));
    expectRefused(store, revocation("instance", sibling.instanceId, ended), "identity_expired");
  });
});

describe("owners", () => {
  const creation = (name: string, key = createTestKey()): WriterCommand => ({
    kind: "createOwner",
    command: { context: contextAt(NOW_MS), name, spki: key.spki },
  });

  test("have one key and one name", () => {
    const store = createTestStore();
    const key = createTestKey();
    const { value } = store.run<{ readonly ownerId: string }>(creation("alice", key));
    expect(value.ownerId).toMatch(/^own_[0-9A-Z]{26}$/);
    expectRefused(store, creation("alice"), "owner_exists");
    expectRefused(store, creation("alice2", key), "owner_exists");
  });

  test("never have an agent's key, nor one that is not P-256", () => {
    const store = createTestStore();
    const { key } = store.root(store.owner());
    expectRefused(store, creation("bob", key), "key_reused");
    const command = { context: contextAt(NOW_MS), name: "bob", spki: new Uint8Array(8) };
    expectRefused(store, { kind: "createOwner", command }, "public_key_refused");
  });

  test("are recorded by key and not by name", () => {
    const store = createTestStore();
    const committed = store.run(creation("alice"));
    expect(JSON.stringify(recordOf(committed))).not.toContain("alice");
    expect(recordOf(committed).details).toHaveProperty("spki");
  });
});

describe("stops of what is no identity", () => {
  const stopJob = (store: TestStore, id: string, ownerId: string | null) =>
    store.run<Revoked>({
      kind: "revoke",
      command: { context: contextAt(NOW_MS), target: { kind: "job", id }, ownerId, reason: "test" },
    });

  test("an owner stops its own job of a name, an operator everybody's", () => {
    const store = createTestStore();
    const reads = createReads(store.database, () => NOW);
    const [alice, bob] = [store.owner(), store.owner("bob")];
    const isStopped = (ownerId: string, id = "invoices") => reads.isStopped({ kind: "job", id, ownerId });
    const own = stopJob(store, "invoices", alice);
    // Nobody else's agents have to ask again because of it.
    expect(own.value.targets).toEqual([{ kind: "narrowed", id: alice }]);
    expect([isStopped(alice), isStopped(bob)]).toEqual([true, false]);
    expect(stopJob(store, "invoices", null).value.targets).toEqual([{ kind: "policy", id: "*" }]);
    expect([isStopped(bob), isStopped(bob, "letters")]).toEqual([true, false]);
  });

  test("everything is every agent, and no verifier", () => {
    const { store, root, stranger, isDead } = family();
    const target = { kind: "everything", id: "*" } as const;
    const context = contextAt(NOW_MS);
    const committed = store.run<Revoked>({ kind: "revoke", command: { context, target, reason: "test" } });
    expect(committed.value.instances).toBe(5);
    expect([isDead(root), isDead(stranger)]).toEqual([true, true]);
    expect(committed.value.targets).toEqual([
      { kind: "owner", id: "*" },
      { kind: "policy", id: "*" },
    ]);
  });

  test.each([
    ["policy", "no digest"],
    ["key", "no digest"],
    ["everything", "all"],
  ] as const)("a %s is named exactly", (kind, id) => {
    const target = { kind, id };
    const context = contextAt(NOW_MS);
    expectRefused(
      createTestStore(),
      { kind: "revoke", command: { context, target, reason: "" } },
      "not_found",
    );
  });
});

describe("verifier tickets", () => {
  const asking = (name: string, ttlSeconds = 86_400): WriterCommand => ({
    kind: "createVerifierTicket",
    command: { context: contextAt(NOW_MS), name, ttlSeconds, isRelay: false },
  });

  test("are signed by the server, and their event does not give them away", () => {
    const store = createTestStore();
    const committed = store.run<{ readonly ticket: string }>(asking("finance-db"));
    const { publicKey } = store.deps.serverSigner;
    const ticket = verifyVerifierTicket(committed.value.ticket, {
      publicKey,
      audience: trustDomain,
      now: NOW,
    });
    expect(ticket).toMatchObject({ name: "finance-db", ttl_seconds: 86_400, iat: NOW, exp: NOW + 3600 });
    const record = recordOf(committed);
    expect(record).toMatchObject({ kind: "ticket", details: { jti: ticket.jti } });
    expect(JSON.stringify(record)).not.toContain(
      encodeBase64(parseEnvelope(committed.value.ticket).signature),
    );
    expect(JSON.stringify(store.dump())).not.toContain(committed.value.ticket);
  });

  test("need a name and a lifetime", () => {
    const store = createTestStore();
    expectRefused(store, asking("a.b"), "name_malformed");
    expectRefused(store, asking("a", 0), "ttl_malformed");
  });
});

describe("JWT-SVIDs", () => {
  const asking = (instanceId: string, nowMs = NOW_MS): WriterCommand => ({
    kind: "issueJwt",
    command: {
      context: contextAt(nowMs),
      instanceId,
      audience: "https://bank.test",
      identity: "instance",
      statusLists: "https://warden.acme.test/v1/status-list",
    },
  });

  test("are for one audience and five minutes, and are not kept", () => {
    const { store, child } = family();
    const committed = store.run<{ readonly svid: string; readonly expiresAt: number }>(
      asking(child.instanceId),
    );
    const bundles = new Map([[trustDomain, store.authority.bundle]]);
    const jwt = verifyJwtSvid(committed.value.svid, { bundles, audience: "https://bank.test", now: NOW });
    expect(jwt.id).toBe(child.identity.spiffeId);
    expect(committed.value.expiresAt).toBe(NOW + 300);
    expect(JSON.stringify(store.dump())).not.toContain(committed.value.svid.split(".")[2]);
    expect(recordOf(committed)).toMatchObject({ kind: "jwt", details: { audience: "https://bank.test" } });
  });

  test("end with their instance", () => {
    const { store, child } = family();
    const { value } = store.run<{ readonly expiresAt: number }>(asking(child.instanceId, NOW_MS + 599_000));
    expect(value.expiresAt).toBe(NOW + 600);
    expectRefused(store, asking(child.instanceId, NOW_MS + 600_000), "identity_expired");
  });

  test("are for live agents only", () => {
    const { store, child } = family();
    expectRefused(store, asking(store.verifier().instanceId), "instance_unknown");
    store.run(revocation("instance", child.instanceId));
    expectRefused(store, asking(child.instanceId), "identity_revoked");
  });
});

describe("the server's own SVID", () => {
  const asking = (reason: "start" | "renew", nowMs = NOW_MS): WriterCommand => ({
    kind: "issueServerSvid",
    command: { context: contextAt(nowMs), reason },
  });

  test("keeps id and key over renewals and signs its own event", () => {
    const store = createTestStore();
    const [first, second] = [
      store.run<ServerSvid>(asking("renew", NOW_MS + 1000)),
      store.run<ServerSvid>(asking("start", NOW_MS + 2000)),
    ];
    expect(second.value.spiffeId).toBe(first.value.spiffeId);
    expect(second.value.svidSha256).not.toBe(first.value.svidSha256);
    expect(recordOf(second)).toMatchObject({
      kind: "start",
      details: { svid_sha256: second.value.svidSha256 },
    });
    const envelope = parseEnvelope(parseUtf8(second.entries[0] ?? new Uint8Array()));
    expect(envelope.unverifiedKeyid).toBe(second.value.svidSha256);
    const bundles = new Map([[trustDomain, store.authority.bundle]]);
    expect(verifyX509Svid(second.value.svidChain, bundles, NOW).id).toBe(second.value.spiffeId);
  });
});

describe("the clock", () => {
  test("a clock that went back by more than 30 seconds issues nothing", () => {
    const store = createTestStore();
    const owner = store.owner();
    store.root(owner, { nowMs: NOW_MS + 100_000 });
    store.root(owner, { nowMs: NOW_MS + 70_000 });
    expectRefused(
      store,
      { kind: "issue", command: ticketCommand(owner, { nowMs: NOW_MS + 69_999 }) },
      "clock_rolled_back",
    );
  });

  test("but still revokes, dated by the latest time that was seen", () => {
    const store = createTestStore();
    const owner = store.owner();
    const root = store.root(owner, { nowMs: NOW_MS + 100_000 });
    store.run(revocation("agent", root.identity.agentId ?? "", contextAt(NOW_MS)));
    const old = ticketCommand(owner, { nowMs: NOW_MS + 101_000, enrolmentIssuedAt: NOW + 100 });
    expectRefused(store, { kind: "issue", command: old }, "identity_revoked");
  });

  test("claims and SVIDs that ended long ago are removed; keys stay", () => {
    const store = createTestStore({ quotas: { ...RULES.quotas, agentsPerOwner: 100 } });
    const owner = store.owner();
    const { key } = store.root(owner, { ttlSeconds: 60 });
    const before = store.dump();
    const nowMs = NOW_MS + 7_300_000;
    store.root(owner, { nowMs });
    expect(store.dump().claims).toHaveLength((before.claims ?? []).length);
    expect(store.dump().svids).toHaveLength((before.svids ?? []).length);
    expectRefused(store, { kind: "issue", command: ticketCommand(owner, { nowMs, key }) }, "key_reused");
  });
});

describe("the outbox", () => {
  test("holds what the ledger is owed, in order, until it is marked", () => {
    const { store, reads, child } = family();
    const intent = intentOf(child);
    const committed = store.run(revocation("instance", child.instanceId, contextAt(NOW_MS, intent)));
    const pending = reads.pendingEntries();
    expect(pending.at(-1)).toEqual({
      outboxId: committed.outboxId,
      entries: committed.entries.map((entry) => new Uint8Array(entry)),
    });
    store.run({ kind: "markSequenced", outboxIds: pending.map(({ outboxId }) => outboxId) });
    expect(reads.pendingEntries()).toEqual([]);
    expect(store.run(revocation("instance", child.instanceId)).outboxId).toBeGreaterThan(committed.outboxId);
  });
});

describe("reads", () => {
  test("give the line, kinship, agents and counts", () => {
    const { reads, owner, root, child, sibling, leaf, stranger } = family();
    expect(reads.chainOf(leaf.instanceId).map(({ instanceId }) => instanceId)).toEqual([
      root.instanceId,
      child.instanceId,
      leaf.instanceId,
    ]);
    expect(reads.chainOf("inst-x")).toEqual([]);
    const kin = (instance: typeof leaf, ancestor: typeof leaf) =>
      reads.isDescendant({ instanceId: instance.instanceId, ancestorInstanceId: ancestor.instanceId });
    expect([
      kin(leaf, root),
      kin(leaf, leaf),
      kin(leaf, sibling),
      kin(root, leaf),
      kin(stranger, root),
    ]).toEqual([true, true, false, false, false]);
    expect(reads.counts()).toEqual({ owners: 2, agents: 5, liveInstances: 5 });
    expect(reads.listOwners({ after: "", limit: 1 }).map(({ name, agents }) => ({ name, agents }))).toEqual([
      { name: "alice", agents: 4 },
    ]);
    expect(
      reads.listOwners({ after: "alice", limit: 9 }).map(({ name, agents }) => ({ name, agents })),
    ).toEqual([{ name: "bob", agents: 1 }]);
    expect(reads.findAgent(leaf.identity.agentId ?? "")).toMatchObject({
      name: "leaf",
      parentAgentId: child.identity.agentId,
      instances: [{ instanceId: leaf.instanceId }],
    });
    const all = reads.listAgents({ limit: 10 }).map(({ agentId }) => agentId);
    expect(all).toHaveLength(5);
    const page = reads.listAgents({ limit: 10, ...(all[1] === undefined ? {} : { after: all[1] }) });
    expect(page.map(({ agentId }) => agentId)).toEqual(all.slice(2));
    expect(reads.listAgents({ limit: 10, ownerId: owner })).toHaveLength(4);
    expect(reads.listAgents({ limit: 10, name: "leaf" })).toHaveLength(1);
    expect(reads.listAgents({ limit: 10, name: "stranger", ownerId: owner })).toEqual([]);
  });

  test("find an SVID with its key until it is revoked", () => {
    const { store, reads, child } = family();
    expect(reads.findSvid(child.svidSha256)).toEqual({
      instanceId: child.instanceId,
      notAfter: NOW + 600,
      spki: new Uint8Array(child.key.spki),
    });
    store.run(revocation("instance", child.instanceId));
    expect(reads.findSvid(child.svidSha256)).toBeUndefined();
    expect(reads.findSvid("x")).toBeUndefined();
  });
});
