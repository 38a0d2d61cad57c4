/** P6: a node takes what is not its own. */

import { type NodeJwtRequest, nodeIdentityAnswer } from "@trustwarden/core/api/registration.ts";
import { revocationAnswer } from "@trustwarden/core/api/revocation.ts";
import { parseAnswer } from "../../test/support/actors.ts";
import { askInstance, askRenewal, createEntry, deliver, joinNode, post } from "../../test/support/nodes.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectRefusal } from "../support/client.ts";

const DENIED = { status: 403, code: "denied" } as const;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P6",
  title:
    "as the node of a taken host, asks for an entry of another host, vouches for what others sign, and renews, ends and speaks for instances of another node",
  expected: "refused, each; the other node's instance lives on",
  weakening: "any-nodes-instance",
  prepare: async (world) => {
    const owner = await world.owner();
    const [honest, taken] = [world.name("host"), world.name("host")];
    const node = await joinNode(world.server, honest);
    const entry = await createEntry(world.server, owner, { name: world.name("crawler"), nodes: [honest] });
    return {
      node,
      entry,
      shared: await createEntry(world.server, owner, { name: world.name("shared"), nodes: ["*"] }),
      instance: await deliver(world.server, node, entry),
      thief: await joinNode(world.server, taken),
    };
  },
  control: async ({ server }, { node, instance, shared, thief }) => {
    const renewed = parseAnswer(nodeIdentityAnswer, await askRenewal(server, node, instance));
    expectSame(renewed.instance_id, instance.answer.instance_id, "a node renews what it asked for");
    const own = await deliver(server, thief, shared);
    const ended = await post(server, thief, "/v1/node/endings", { instance_id: own.answer.instance_id });
    expectSame(parseAnswer(revocationAnswer, ended).instances, 1, "the other node ends what it asked for");
  },
  attack: async ({ server }, { thief, entry, shared, instance }) => {
    const { instance_id } = instance.answer;
    const jwt: NodeJwtRequest = { instance_id, audiences: ["https://bank.test"], identity: "instance" };
    const others = {
      "an entry of another host": () => askInstance(server, thief, entry),
      "a renewal of another node's instance": () => askRenewal(server, thief, instance),
      "a token of another node's instance": () => post(server, thief, "/v1/node/jwt-svids", jwt),
      "the end of another node's instance": () => post(server, thief, "/v1/node/endings", { instance_id }),
    };
    for (const [claim, ask] of Object.entries(others)) expectRefusal(await ask(), DENIED, claim);
    for (const selector of ["github:repository_id:7", "node:host-1", "k8s:cluster:prod"]) {
      const members = { selectors: ["unix:uid:1000", selector] };
      expectRefusal(
        await askInstance(server, thief, shared, { members }),
        { status: 403, code: "selector_not_vouched" },
        `the node's word for ${selector}`,
      );
    }
  },
  evidence: async (ledger, { thief }) => {
    const principal = thief.answer.spiffe_id;
    await ledger.expect({ kind: "refuse", principal, reason: "principal_not_permitted" }, 4);
    await ledger.expect({ kind: "refuse", principal, reason: "selector_not_vouched" }, 3);
  },
});
