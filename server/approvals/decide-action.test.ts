/** What another server put on a job counts before anything is carried outside, whoever was told of it by then. */

import { join } from "node:path";
import { parseActionName } from "@trustwarden/core/action.ts";
import { NOTHING_ATTESTED } from "@trustwarden/core/attestation.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { expect, test } from "vitest";
import { createBuiltinPolicy } from "../opa/builtin.ts";
import { Policies } from "../opa/policies.ts";
import { decideAction } from "./decide-action.ts";
import type { AskedAction, DecidingServices } from "./ports.ts";

const LEAF = {
  agentId: "agt_1",
  instanceId: "inst-1",
  spiffeId: "spiffe://acme.test/a/inst-1",
  scope: parseScope(["read:mail", "send:mail"]),
};
const policy = new Policies(createBuiltinPolicy(join(import.meta.dirname, "..", "..", "policies")));
const refuse = () => Promise.reject(new Error("nothing is used up or kept here"));

/** One of several servers, whose copy does not have yet what the others wrote of the job. */
function servicesOf(written: readonly string[]): DecidingServices & { readonly asked: () => number } {
  let known: readonly string[] = [];
  let asked = 0;
  return {
    clock: { nowMs: () => 0, trustedSeconds: () => 0 },
    policy,
    reads: {
      labelsOf: () => known,
      freeze: () => undefined,
      restore: () => undefined,
      isStopped: () => false,
    },
    commands: { useApproval: refuse, addLabels: refuse },
    ledger: { settle: refuse },
    sharing: {
      isShared: true,
      isCurrent: () => true,
      catchUp: async () => {
        asked += 1;
        known = written;
      },
    },
    asked: () => asked,
  };
}

function askedFor(action: string, change: Partial<AskedAction> = {}): AskedAction {
  const agent = {
    kind: "agent",
    ...LEAF,
    ownerId: "own_1",
    svidSha256: "C".repeat(43),
    custody: "agent",
    attested: NOTHING_ATTESTED,
    chain: [LEAF],
  } as const;
  const name = parseActionName(action);
  const asked = { agent, action: name, resource: "mail://all", enforcement: "service", epoch: 1 } as const;
  return { ...asked, arguments: {}, effects: null, job: "job-1", peer: "test", ...change };
}

test("what a job read at another server counts when it writes outside at this one (F7)", async () => {
  const services = servicesOf(["private", "untrusted"]);
  const { decision } = await decideAction(services, askedFor("send:mail"), null);
  expect(decision).toMatchObject({ effect: "ask", reasons: ["tainted"] });
  expect(services.asked()).toBe(1);
});

test("nobody else is asked about what stays inside", async () => {
  const services = servicesOf(["private", "untrusted"]);
  const inside = { effects: { reads: [], outside: false } };
  expect((await decideAction(services, askedFor("read:mail"), null)).decision.effect).toBe("allow");
  expect((await decideAction(services, askedFor("send:mail", inside), null)).decision.effect).toBe("allow");
  expect(services.asked()).toBe(0);
});
