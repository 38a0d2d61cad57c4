/** A1, A2, A6 and B2 at two servers that share store and ledger: what one of them counts, the other counts too. */
import { createOwner, enrolAgent, ownerRequest, serverIdOf } from "../../test/support/actors.ts";
import { jsonOf, sendAdmin } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { joinToken, postNode } from "../../test/support/nodes.ts";
import { POSTGRESQL_BIN } from "../../test/support/postgresql.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call, expectRefusal, UNPROVEN } from "../support/client.ts";
import { signTicket } from "../support/documents.ts";
import { openTwoServers, type TwoServers } from "../support/two-servers.ts";
import { callAsAgent, enrolWith, renew } from "../support/visits.ts";

const QUOTA = 5;
const TRIES = 20;
const READ = { target: "/v1/events", action: "read:ledger" };

/** The first half of the tries at the one, the other half at the other, all at once. */
function both<Answer>(
  { left, right }: TwoServers,
  ask: (world: TwoServers["left"]) => Promise<Answer>,
): Promise<readonly Answer[]> {
  return Promise.all(Array.from({ length: TRIES }, (_, at) => ask(at % 2 === 0 ? left : right)));
}

const count = (answers: readonly { readonly status: number }[], status: number) =>
  answers.filter((answer) => answer.status === status).length;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "A2b",
  title: `asks two servers that share a store at once: beyond a quota, with one ticket, with one join token, with what an owner signed`,
  expected: "each counts once for both; who was stopped at one is nobody at the other when that is answered",
  weakening: "uses-unclaimed",
  missing: () => (POSTGRESQL_BIN === undefined ? "Debian's postgresql" : undefined),
  prepare: async (world) => {
    const two = await openTwoServers(world, { quotas: { agentsPerOwner: QUOTA } });
    const mallory = await createOwner(two.left.server, "mallory");
    const leaver = await createOwner(two.right.server, "leaver");
    const agent = await enrolAgent(two.left.server, leaver, { name: "left-behind" });
    return { two, mallory, leaver, agent, token: await joinToken(two.right.server, "host") };
  },
  control: async (_world, { two, agent }) => {
    for (const world of [two.left, two.right])
      expectSame((await callAsAgent(world, agent, READ)).status, 200, "an agent at either");
  },
  attack: async (_world, { two, mallory, leaver, agent, token }) => {
    const nobody = { ownerId: `own_${"0".repeat(26)}`, signer: createTestSigner() };
    const ownerless = await both(two, (world) =>
      enrolWith(world, signTicket(nobody, { name: "nobodys" }), { signer: createTestSigner() }),
    );
    expectSame(count(ownerless, UNPROVEN.status), TRIES, "agents of nobody");
    const ticket = signTicket(mallory, { name: "once" });
    const shown = await both(two, (world) => enrolWith(world, ticket, { signer: createTestSigner() }));
    expectSame(count(shown, 200), 1, "agents of one ticket");
    let names = 0;
    const named = await both(two, (world) => {
      names += 1;
      return enrolWith(world, signTicket(mallory, { name: `race-${names}` }), { signer: createTestSigner() });
    });
    expectSame([count(named, 200), count(named, 429)], [QUOTA - 1, TRIES - QUOTA + 1], "agents of one owner");
    const joined = await both(two, ({ server }) => postNode(server, { type: "join_token", token }));
    expectSame(count(joined, 200), 1, "nodes of one join token");
    const aud = await serverIdOf(two.left.server);
    const body = JSON.stringify({ target: { kind: "owner", id: leaver.ownerId } });
    const leave = ownerRequest(leaver, { method: "POST", target: "/v1/revocations", body, aud });
    const look = ownerRequest(leaver, { method: "GET", target: "/v1/agents", aud });
    expectSame((await call(two.left.server.url, look)).status, 200, "what an owner signed");
    expectRefusal(await call(two.right.server.url, look), UNPROVEN, "the same, shown to the other");
    expectSame((await call(two.right.server.stopUrl, leave)).status, 200, "the owner leaves");
    const kept = signTicket(leaver, { name: "kept" });
    for (const world of [two.left, two.right]) {
      expectRefusal(await callAsAgent(world, agent, READ), UNPROVEN, "an agent of who left");
      expectRefusal(await renew(world, agent), UNPROVEN, "a renewal for who left");
      const late = await enrolWith(world, kept, { signer: createTestSigner() });
      expectRefusal(late, UNPROVEN, "a ticket that was kept");
    }
  },
  evidence: async (_ledger, { two }) => {
    for (const { server } of [two.left, two.right]) {
      const target = "/v1/events?kind=refuse&limit=100";
      const { events } = jsonOf(await sendAdmin(server.adminSocket, { target }));
      const reasons = new Set(Array.isArray(events) ? events.flatMap(({ reasons }) => reasons) : []);
      // What one caller is refused beyond an allowance is counted and not named, so these two alone are sure to be there.
      for (const reason of ["quota_exceeded", "join_token_used"])
        expect(reasons.has(reason), `the ledger of both has a refusal with ${reason}`);
    }
  },
});
