/** Whose a new connection's places are, by its certificate. */
import { expect, it } from "vitest";
import {
  contextAt,
  createTestStore,
  digestOfLeaf,
  NOW,
  NOW_MS,
} from "../store/commands/fixture.test.support.ts";
import { createReads } from "../store/reads.ts";
import { flowOfLeaf } from "./request-flow.ts";

it("are the owner's while its agent's certificate lives, and a stranger's once it has ended or was revoked", () => {
  const store = createTestStore();
  const { identity, instanceId } = store.root(store.owner());
  const [leaf = new Uint8Array()] = identity.svidChain;
  const reads = createReads(store.database, () => NOW);
  const { spiffeId, agentId, ownerId } = identity;
  const flow = { owner: ownerId, agent: agentId, principal: spiffeId };
  expect(flowOfLeaf(reads, leaf, NOW)).toEqual(flow);
  const notAfter = reads.findSvid(digestOfLeaf(identity))?.notAfter ?? 0;
  expect(flowOfLeaf(reads, leaf, notAfter - 1)).toEqual(flow);
  expect(flowOfLeaf(reads, leaf, notAfter)).toBeUndefined();
  expect(flowOfLeaf(reads, Uint8Array.of(1), NOW)).toBeUndefined();
  const target = { kind: "instance", id: instanceId } as const;
  store.run({ kind: "revoke", command: { context: contextAt(NOW_MS), target, reason: "stolen" } });
  expect(flowOfLeaf(reads, leaf, NOW)).toBeUndefined();
});
