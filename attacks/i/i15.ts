/** I15: an intent that says its agent had seen a tree which the ledger never showed. */
import {
  askDecision,
  parseDecision,
  signedRequest,
  type TestInstance,
  visitIntent,
} from "../../test/support/actors.ts";
import { codeOf, type RawAnswer } from "../../test/support/http.ts";
import { falseSeen, latestSeen, type Seen } from "../../test/support/seen.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { call } from "../support/client.ts";
import type { World } from "../support/world.ts";

interface Scene {
  readonly agent: TestInstance;
  readonly verifier: TestInstance;
  readonly aud: string;
}

function decide({ server }: World, { agent, verifier }: Scene, seen: Seen): Promise<RawAnswer> {
  return askDecision(server, { caller: verifier, agent, intent: visitIntent(agent, verifier, { seen }) });
}

/** A request to the server itself, under the agent's own intent. */
function askToken({ server }: World, { agent, aud }: Scene, seen: Seen): Promise<RawAnswer> {
  const body = JSON.stringify({ audience: "https://finance.test" });
  const request = { method: "POST", target: "/v1/jwt-svids", body, action: "issue:jwt-svid", aud };
  return call(server.url, signedRequest(agent, { ...request, intent: { seen } }), { tls: agent.tls });
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "I15",
  title:
    "signs intents which say that a tree was seen that the ledger never showed, so as to date them as it likes",
  expected: "refused before anything is decided, by a code of its own, and recorded; the true tree is taken",
  weakening: "any-tree-was-seen",
  world: {},
  prepare: async (world) => ({
    agent: await world.enrol(["read:transactions"]),
    verifier: await world.enrolVerifier(),
    aud: await world.serverId(),
  }),
  control: async (world, scene) => {
    const seen = await latestSeen(world.server);
    expectSame(parseDecision(await decide(world, scene, seen)).allow, true, "the newest tree");
    expectSame((await askToken(world, scene, seen)).status, 200, "the same, to the server itself");
  },
  attack: async (world, scene) => {
    for (const [name, lie] of Object.entries(falseSeen(await latestSeen(world.server))))
      for (const ask of [decide, askToken]) {
        const answer = await ask(world, scene, lie);
        expectSame([answer.status, codeOf(answer)], [409, "checkpoint_unpublished"], name);
      }
  },
  evidence: async (ledger, { agent, verifier }) => {
    const refused = { kind: "refuse", reason: "checkpoint_unpublished" };
    await ledger.expect({ ...refused, principal: verifier.answer.spiffe_id }, 4);
    await ledger.expect({ ...refused, principal: agent.answer.spiffe_id }, 4);
    await ledger.expect({ kind: "action" }, 0);
    await ledger.expect({ kind: "jwt" }, 0);
  },
});
