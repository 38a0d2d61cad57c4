/** P12: an intermediate that leaked. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { slotIdOf } from "@trustwarden/core/agentid/authority-slots.ts";
import { parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { authorityStepAnswer } from "@trustwarden/core/api/authority.ts";
import { eventPage } from "@trustwarden/core/api/ledger.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import { jsonOf, sendAdmin } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call, expectRefusal, UNPROVEN } from "../support/client.ts";
import { forgeCertificate } from "../support/forged.ts";
import { readAsOperator } from "../support/operator.ts";
import { callAsAgent, visit } from "../support/visits.ts";
import type { World } from "../support/world.ts";

const BUDGET_MS = 1000;
const RENEWAL_MS = 20_000;
const LOOK_MS = 50;

async function step(world: World, body: object) {
  const { adminSocket } = world.server;
  const target = "/v1/authority/steps";
  const answer = await sendAdmin(adminSocket, { method: "POST", target, body: JSON.stringify(body) });
  expectSame(answer.status, 200, `the operator's step ${JSON.stringify(body)}`);
  return authorityStepAnswer.parse(jsonOf(answer));
}

/** A service that is asked to renew does so within seconds; one that did not would be outside with the revocation. */
async function untilRenewed(world: World, spiffeId: string): Promise<void> {
  const target = `/v1/events?kind=renew&agent=${encodeURIComponent(spiffeId)}`;
  const deadline = performance.now() + RENEWAL_MS;
  while (performance.now() < deadline) {
    const { events } = eventPage.parse(await readAsOperator(world.server.adminSocket, target));
    if (events.length > 0) return;
    await sleep(LOOK_MS);
  }
  throw new Error("the service did not renew its SVID");
}

const issueJwt = (world: World, agent: Parameters<typeof callAsAgent>[1]) =>
  callAsAgent(world, agent, {
    method: "POST",
    target: "/v1/jwt-svids",
    body: JSON.stringify({ audience: "https://api.test" }),
    headers: { "content-type": "application/json" },
    action: "issue:jwt-svid",
  });

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P12",
  title:
    "an SVID of an intermediate that leaked and was revoked: an agent's own, and one that the thief makes",
  expected: "refused by the server and by every service, within a second of the revocation",
  weakening: "revoked-authority-believed",
  world: {},
  mayChange: ["epoch"],
  prepare: async (world) => {
    await world.finance();
    const agent = await world.enrol(["read:transactions"]);
    // The key is destroyed with its revocation, so the thief takes it now.
    const forged = await forgeCertificate(world.home, {
      uris: [`spiffe://acme.test/team/finance/thief/inst-${randomBytes(8).toString("hex")}`],
    });
    return { agent, forged };
  },
  control: async (world, { agent }) => {
    expectSame((await visit(world, { agent })).status, 200, "a visit before");
    expectSame((await issueJwt(world, agent)).status, 200, "a call before");
    const { renew } = await step(world, { step: "rotate", kind: "intermediate", force: true });
    const [, issuer = ""] = agent.answer.svid_chain;
    expectSame(renew, [slotIdOf(parseCertificate(parseBase64url(issuer)).spki)], "who is to renew");
    await untilRenewed(world, (await world.finance()).id);
    expectSame((await visit(world, { agent })).status, 200, "a visit while the old one is only tainted");
  },
  attack: async (world, { agent, forged }) => {
    const [, issuer = ""] = agent.answer.svid_chain;
    const id = slotIdOf(parseCertificate(parseBase64url(issuer)).spki);
    const { elapsed_ms } = await step(world, { step: "revoke", id });
    expect(elapsed_ms < BUDGET_MS, `every service had heard of it after ${elapsed_ms} ms`);
    expectRefusal(await issueJwt(world, agent), UNPROVEN, "the old SVID at the server");
    const visited = await visit(world, { agent });
    expectSame(visited.status, 401, "the old SVID at a service");
    const thief = await call(
      world.server.url,
      { method: "POST", target: "/v1/svids/renew", body: "{}" },
      { tls: forged.tls },
    );
    expect(
      thief.status === 401 || thief.status === 400,
      `the thief's SVID is refused, and not ${thief.status}`,
    );
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "authority" }, 1);
    await ledger.expect({ kind: "refuse", reason: "authority_revoked" }, { atLeast: 1 });
  },
});
