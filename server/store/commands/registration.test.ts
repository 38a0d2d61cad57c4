/** Nodes and registration entries in the store: every refusal by its code, each check just inside and just outside. */
import { randomBytes } from "node:crypto";
import { digestOfJoinToken } from "@trustwarden/core/agentid/enrolment-value.ts";
import { MAX_ENTRY_SECONDS, type RegistrationEntry } from "@trustwarden/core/agentid/registration-entry.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { describe, expect, test } from "vitest";
import { createReads } from "../reads.ts";
import type {
  EntryIdentity,
  EntryIssueCommand,
  NetworkAttestation,
  NodeRenewCommand,
} from "../registration-ports.ts";
import type { Revoked } from "../revocation-ports.ts";
import type { WriterCommand } from "../writer-protocol.ts";
import {
  contextAt,
  createTestKey,
  createTestStore,
  digestOfLeaf,
  NOW,
  NOW_MS,
  RULES,
  type TestStore,
} from "./fixture.test.support.ts";

const DIGEST = "A".repeat(43);
const POSSESSION = '{"the":"proof"}';

interface TestNode {
  readonly nodeInstanceId: string;
  readonly nodeSvidSha256: string;
}

function expectRefused(store: TestStore, command: WriterCommand, code: string): void {
  const before = store.dump();
  expect(() => store.run(command)).toThrow(expect.objectContaining({ code }));
  expect(store.dump()).toEqual(before);
}

function tokenOf(store: TestStore, name = "host-1", nowMs = NOW_MS): string {
  const command = { context: contextAt(nowMs), name, ttlSeconds: 600 };
  return store.run<{ readonly token: string }>({ kind: "createJoinToken", command }).value.token;
}

function admission(tokenSha256: string, nowMs = NOW_MS): WriterCommand {
  const { spki } = createTestKey();
  const by = { kind: "join-token", tokenSha256 } as const;
  const command = { by, name: null, spki, possession: POSSESSION, evidenceSha256: DIGEST };
  return { kind: "admitNode", command: { context: contextAt(nowMs), ...command } };
}

function nodeOf(store: TestStore, name = "host-1"): TestNode {
  const { value } = store.run<EntryIdentity>(admission(digestOfJoinToken(tokenOf(store, name))));
  return { nodeInstanceId: value.instanceId, nodeSvidSha256: digestOfLeaf(value) };
}

function documentOf(owner: string, members: Partial<RegistrationEntry> = {}): RegistrationEntry {
  return {
    v: 1,
    kind: "agent",
    jti: formatUlid(NOW_MS, randomBytes),
    aud: "spiffe://acme.test",
    iat: NOW,
    exp: NOW + MAX_ENTRY_SECONDS,
    owner,
    path: "team/web",
    name: "crawler",
    scope: parseScope(["read:tx"]),
    ttl_seconds: 3600,
    limits: { depth: 0, fan_out: 0, budget: null },
    selectors: ["unix:uid:1000"],
    nodes: ["host-1"],
    hint: "",
    ...members,
  };
}

function registration(document: RegistrationEntry): WriterCommand {
  const entry = { kind: "agent", document, envelope: '{"the":"entry"}' } as const;
  return { kind: "createEntry", command: { context: contextAt(NOW_MS), entry } };
}

function entryOf(store: TestStore, owner: string, members: Partial<RegistrationEntry> = {}): string {
  const command = registration(documentOf(owner, members));
  return store.run<{ readonly entryId: string }>(command).value.entryId;
}

/** A node's request, with anything replaced. */
function asking(
  entryId: string | null,
  node: TestNode,
  change: Partial<EntryIssueCommand> = {},
): WriterCommand {
  const command: EntryIssueCommand = {
    context: contextAt(NOW_MS),
    entryId,
    asker: { kind: "node", ...node, selectors: ["unix:uid:1000"], strength: "unix", facts: { pid: 1 } },
    compositionSha256: null,
    compositionSelectors: [],
    custody: "delivered",
    key: { spki: createTestKey().spki, possession: POSSESSION },
    classKey: null,
    ...change,
  };
  return { kind: "issueByEntry", command };
}

function renewal(
  node: TestNode,
  identity: EntryIdentity,
  change: Partial<NodeRenewCommand> = {},
): WriterCommand {
  const command: NodeRenewCommand = {
    context: contextAt(NOW_MS),
    ...node,
    instanceId: identity.instanceId,
    svidSha256: digestOfLeaf(identity),
    key: { spki: createTestKey().spki, possession: POSSESSION },
    classKey: null,
    compositionSha256: null,
    ...change,
  };
  return { kind: "renewByNode", command };
}

describe("a join token", () => {
  test("is kept by its digest only, and admits until the last second of its life, once", () => {
    const store = createTestStore();
    const token = tokenOf(store);
    expect(JSON.stringify(store.dump())).not.toContain(token);
    expect(JSON.stringify(store.dump())).toContain(digestOfJoinToken(token));
    expectRefused(store, admission(DIGEST), "join_token_invalid");
    expectRefused(store, admission(digestOfJoinToken(token), NOW_MS + 600_000), "join_token_expired");
    store.run(admission(digestOfJoinToken(token), NOW_MS + 599_000));
    expectRefused(store, admission(digestOfJoinToken(token), NOW_MS + 599_000), "join_token_used");
  });

  test("is forgotten a day after its end", () => {
    const store = createTestStore();
    tokenOf(store);
    tokenOf(store, "host-2", NOW_MS + 600_000 + 86_400_000);
    expect(store.dump().join_tokens).toHaveLength(2);
    tokenOf(store, "host-3", NOW_MS + 601_000 + 86_400_000);
    expect(store.dump().join_tokens).toHaveLength(2);
  });
});

describe("a registration entry", () => {
  test("comes in once, for a live owner, within the owner's number of entries", () => {
    const store = createTestStore();
    const owner = store.owner();
    const document = documentOf(owner);
    store.run(registration(document));
    expectRefused(store, registration(document), "entry_exists");
    expectRefused(store, registration(documentOf(`own_${document.jti}`)), "owner_unknown");
    store.database.run(
      `WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 9998)
       INSERT INTO entries SELECT entry_id || i, kind, owner_id, document, envelope, first_selector, created_at,
         expires_at, removed_epoch FROM n, entries`,
    );
    store.run(registration(documentOf(owner)));
    expectRefused(store, registration(documentOf(owner)), "quota_exceeded");
    const target = { kind: "owner", id: owner } as const;
    store.run({ kind: "revoke", command: { context: contextAt(NOW_MS), target, reason: "" } });
    expectRefused(store, registration(documentOf(owner)), "identity_revoked");
  });

  test("is refused to unknown ids, to other nodes, without its selectors, and after its end", () => {
    const store = createTestStore();
    const owner = store.owner();
    const node = nodeOf(store);
    const entryId = entryOf(store, owner, { exp: NOW + 20 });
    expectRefused(store, asking("ent_none", node), "entry_unknown");
    expectRefused(store, asking(entryId, nodeOf(store, "host-2")), "entry_not_for_node");
    const elsewhere = entryOf(store, owner, { selectors: ["unix:uid:1001"] });
    expectRefused(store, asking(elsewhere, node), "entry_not_matched");
    expectRefused(store, asking(entryId, node, { context: contextAt(NOW_MS + 20_000) }), "entry_expired");
    store.run(asking(entryId, node, { context: contextAt(NOW_MS + 19_000) }));
    const removal = { kind: "removeEntry", command: { context: contextAt(NOW_MS), entryId } } as const;
    store.run(removal);
    expectRefused(store, asking(entryId, node), "entry_removed");
    expect(() => store.run({ ...removal, command: { ...removal.command, entryId: "ent_none" } })).toThrow(
      expect.objectContaining({ code: "not_found" }),
    );
  });

  test("is for live nodes only: not for agents, nor with another's or an unknown SVID", () => {
    const store = createTestStore();
    const owner = store.owner();
    const entryId = entryOf(store, owner);
    const { instanceId, svidSha256 } = store.root(owner);
    const agent = { nodeInstanceId: instanceId, nodeSvidSha256: svidSha256 };
    expectRefused(store, asking(entryId, agent), "principal_refused");
    const node = nodeOf(store);
    expectRefused(store, asking(entryId, { ...node, nodeSvidSha256: svidSha256 }), "svid_mismatch");
    expectRefused(store, asking(entryId, { ...node, nodeInstanceId: "inst-none" }), "instance_unknown");
    const late = { context: contextAt(NOW_MS + 3_600_000) };
    expectRefused(store, asking(entryId, node, late), "svid_expired");
  });

  test("gives no more instances than its owner's quota", () => {
    const quotas = { ...RULES.quotas, liveInstancesPerOwner: 2 };
    const store = createTestStore({ quotas });
    const node = nodeOf(store);
    const entryId = entryOf(store, store.owner());
    for (const _instance of [1, 2]) store.run(asking(entryId, node));
    expectRefused(store, asking(entryId, node), "quota_exceeded");
  });

  test("with a wildcard gives instances of an hour at most", () => {
    const store = createTestStore();
    const owner = store.owner();
    const node = nodeOf(store);
    const scope = parseScope(["*:tx"]);
    store.run(asking(entryOf(store, owner, { scope, ttl_seconds: 3600 }), node));
    const longer = entryOf(store, owner, { scope, ttl_seconds: 3601 });
    expectRefused(store, asking(longer, node), "scope_wildcard_too_long_lived");
  });
});

describe("evidence", () => {
  const attestation: NetworkAttestation = {
    type: "github",
    selectors: ["github:ref:refs/heads/main", "github:repository_id:7"],
    subject: "github:7",
    claims: {},
    singleUse: { id: "job-1", expiresAt: NOW + 300 },
  };
  const shown = (change: Partial<NetworkAttestation> = {}): Partial<EntryIssueCommand> => ({
    asker: { kind: "evidence", attestation: { ...attestation, ...change }, evidenceSha256: DIGEST },
  });
  const nobody: TestNode = { nodeInstanceId: "", nodeSvidSha256: "" };

  test("finds the one entry that it matches, and is used up by it", () => {
    const store = createTestStore();
    const owner = store.owner();
    expectRefused(store, asking(null, nobody, shown()), "entry_not_matched");
    const entryId = entryOf(store, owner, { selectors: ["github:repository_id:7"] });
    const { value } = store.run<EntryIdentity>(asking(null, nobody, shown()));
    expect(value.entryId).toBe(entryId);
    expectRefused(store, asking(null, nobody, shown()), "attestation_replayed");
    entryOf(store, owner, { name: "other", selectors: [...attestation.selectors] });
    const fresh = shown({ singleUse: { id: "job-2", expiresAt: NOW + 300 } });
    expectRefused(store, asking(null, nobody, fresh), "entry_ambiguous");
    store.run(asking(entryId, nobody, fresh));
  });

  test("finds nothing that was removed, has expired, or that needs more than it proves", () => {
    const store = createTestStore();
    const owner = store.owner();
    entryOf(store, owner, { selectors: ["github:repository_id:7", "oidc:corp:7"] });
    entryOf(store, owner, { selectors: ["github:repository_id:7"], exp: NOW + 1 });
    const entryId = entryOf(store, owner, { selectors: ["github:repository_id:7"] });
    store.run({ kind: "removeEntry", command: { context: contextAt(NOW_MS), entryId } });
    const late = { ...shown({ singleUse: null }), context: contextAt(NOW_MS + 1000) };
    expectRefused(store, asking(null, nobody, late), "entry_not_matched");
  });

  test("that may be shown again is", () => {
    const store = createTestStore();
    entryOf(store, store.owner(), { selectors: ["github:repository_id:7"] });
    for (const _time of [1, 2]) store.run(asking(null, nobody, shown({ singleUse: null })));
  });
});

describe("a node's instance", () => {
  function delivered(change: Partial<EntryIssueCommand> = {}) {
    const store = createTestStore();
    const node = nodeOf(store);
    const entryId = entryOf(store, store.owner());
    const { value } = store.run<EntryIdentity>(asking(entryId, node, change));
    return { store, node, entryId, identity: value };
  }

  test("is renewed for its own node, its own SVID and the composition of its birth", () => {
    const { store, node, identity } = delivered({ compositionSha256: DIGEST });
    const other = nodeOf(store, "host-1");
    expectRefused(store, renewal(other, identity), "not_found");
    expectRefused(store, renewal(node, identity, { svidSha256: DIGEST }), "svid_mismatch");
    const another = { compositionSha256: encodeBase64url(randomBytes(32)) };
    expectRefused(store, renewal(node, identity, another), "composition_changed");
    store.run(renewal(node, identity, { compositionSha256: DIGEST }));
    store.run(renewal(node, identity));
  });

  test("without a composition takes none later", () => {
    const { store, node, identity } = delivered();
    expectRefused(store, renewal(node, identity, { compositionSha256: DIGEST }), "composition_changed");
  });

  test("has class SVIDs that prove no instance, and whose key is nobody else's", () => {
    const key = createTestKey();
    const classKey = { spki: key.spki, possession: POSSESSION };
    const { store, node, entryId, identity } = delivered({ classKey });
    const [leaf = new Uint8Array()] = identity.classSvidChain ?? [];
    const ofClass = digestOfLeaf({ ...identity, svidChain: [leaf] });
    expect(createReads(store.database, () => NOW).findSvid(ofClass)).toBeUndefined();
    expectRefused(store, renewal(node, identity, { svidSha256: ofClass }), "svid_mismatch");
    expectRefused(store, asking(entryId, node, { key: classKey }), "key_reused");
  });

  test("dies with its node, whose death voids every decision, and is touched by the dead no more", () => {
    const { store, node, entryId, identity } = delivered();
    const own = store.root(store.owner("bob"));
    const target = { kind: "instance", id: node.nodeInstanceId } as const;
    const command = { context: contextAt(NOW_MS), target, reason: "" };
    const revoked = store.run<Revoked>({ kind: "revoke", command });
    expect(revoked.value).toEqual({ instances: 2, targets: [target, { kind: "policy", id: "*" }] });
    const reads = createReads(store.database, () => NOW);
    expect(reads.findInstance(identity.instanceId)?.isRevoked).toBe(true);
    expect(reads.findInstance(own.instanceId)?.isRevoked).toBe(false);
    expect(reads.targetsSince(revoked.epoch - 2)).toEqual([
      { epoch: revoked.epoch - 1, ...target },
      { epoch: revoked.epoch, kind: "policy", id: "*" },
    ]);
    expectRefused(store, asking(entryId, node), "identity_revoked");
    expectRefused(store, renewal(node, identity), "identity_revoked");
  });
});
