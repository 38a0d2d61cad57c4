/** How many calls may wait for a human, and what is refused about one that waits. */

import { randomBytes } from "node:crypto";
import { formatUuidV7 } from "@trustwarden/core/id.ts";
import { expect, test } from "vitest";
import type { ApprovalRequest, UseApprovalCommand } from "../approval-ports.ts";
import { contextAt, createTestStore, NOW, NOW_MS, type TestIdentity } from "./fixture.test.support.ts";

const QUESTION = {
  action: "delete:rows",
  resource: "db://rows/7",
  audience: "spiffe://acme.test/trustwarden/verifier/rows/inst-1",
  policy_sha256: "B".repeat(43),
} as const;

function setUp() {
  const store = createTestStore();
  const owner = store.owner();
  const agent = store.root(owner);
  const requestOf = ({ identity, instanceId }: TestIdentity): ApprovalRequest => ({
    ...QUESTION,
    id: formatUuidV7(NOW_MS, randomBytes),
    intent_sha256: "A".repeat(43),
    owner,
    agent: identity.spiffeId,
    agentId: identity.agentId ?? "",
    instanceId,
    enforcement: "service",
    reasons: ["approval_required"],
    parameters: "C".repeat(43),
    parametersText: "{}",
    body: null,
    salt: new Uint8Array(32),
    createdAt: NOW,
    expiresAt: NOW + 900,
  });
  const ask = (request: ApprovalRequest, nowMs = NOW_MS) =>
    store.run({ kind: "createApproval", command: { context: contextAt(nowMs), request } });
  const use = (id: string, changes: Partial<UseApprovalCommand> = {}) =>
    store.run({
      kind: "useApproval",
      command: {
        context: contextAt(NOW_MS),
        id,
        instanceId: agent.instanceId,
        usedBy: formatUuidV7(NOW_MS, randomBytes),
        action: QUESTION.action,
        resource: QUESTION.resource,
        audience: QUESTION.audience,
        parametersText: "{}",
        policySha256: QUESTION.policy_sha256,
        reasons: ["approval_required"],
        ...changes,
      },
    });
  return { store, owner, agent, requestOf, ask, use };
}

const refusal = (code: string) => expect.objectContaining({ code });

test("sixteen calls of an instance wait, and the next one when one of them has ended", () => {
  const { store, owner, agent, requestOf, ask } = setUp();
  for (let each = 0; each < 16; each += 1) ask(requestOf(agent));
  expect(() => ask(requestOf(agent))).toThrow(refusal("approvals_pending"));
  ask(requestOf(store.root(owner, { name: "another" })));
  ask(requestOf(agent), NOW_MS + 900_000);
});

test("one action is asked about once", () => {
  const { agent, requestOf, ask } = setUp();
  const request = requestOf(agent);
  ask(request);
  expect(() => ask(request)).toThrow(refusal("approval_exists"));
});

test("a request that nobody has answered approves nothing, and another call not even that", () => {
  const { agent, requestOf, ask, use } = setUp();
  const request = requestOf(agent);
  ask(request);
  expect(() => use(request.id)).toThrow(refusal("approval_pending"));
  for (const changes of [{ parametersText: "[]" }, { reasons: ["approval_required", "tainted"] }])
    expect(() => use(request.id, changes)).toThrow(refusal("approval_mismatch"));
});
