/** New agents cost work beyond an easy rate; agents that an agent makes do not, and nobody notices who is no loop. */

import { formatTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { findWork, workBitsOf } from "@trustwarden/core/agentid/registration-work.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AgentIdentity } from "../sdk/index.ts";
import { createOwner, enrolAgent, enrolmentBody, spawn, type TestOwner, ticketOf } from "./support/actors.ts";
import { codeOf, jsonOf, type RawAnswer, send } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import { accepting, offering, postAsOwner, signTransfer, transferDocument } from "./support/transfers.ts";

const EASY = 3;
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ quotas: { easyAgentsPerOwnerPerMinute: EASY } });
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const pause = async () => undefined;

/** An owner who has made as many new agents as is easy. */
async function busyOwner(name: string): Promise<TestOwner> {
  const owner = await createOwner(server, name);
  for (let made = 0; made < EASY; made += 1)
    await enrolAgent(server, owner, { name: `${name}-easy-${made}` });
  return owner;
}

async function register(owner: TestOwner, name: string, bits: number): Promise<RawAnswer> {
  const body = await enrolmentBody(server, ticketOf(owner, { name }), createTestSigner());
  const work = bits === 0 ? {} : { work: await findWork(body.possession, { bits, pause }) };
  return send(server.url, {
    method: "POST",
    target: "/v1/instances",
    body: JSON.stringify({ ...body, ...work }),
  });
}

describe("a new agent beyond the easy rate", () => {
  it("costs work, and waiting costs nothing: the refusal names both, and leaves the ticket unused", async () => {
    const owner = await busyOwner("dora");
    const ticket = ticketOf(owner, { name: "dora-more" });
    const signer = createTestSigner();
    const bare = await enrolmentBody(server, ticket, signer);
    const post = (body: object) =>
      send(server.url, { method: "POST", target: "/v1/instances", body: JSON.stringify(body) });
    const refused = await post(bare);
    expect([refused.status, codeOf(refused)]).toEqual([429, "registration_costly"]);
    expect(refused.headers["trustwarden-work"]).toBe("14");
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    expect(Number(refused.headers["retry-after"])).toBeLessThanOrEqual(60);
    const again = await enrolmentBody(server, ticket, signer);
    const work = await findWork(again.possession, { bits: 14, pause });
    expect((await post({ ...again, work })).status).toBe(200);
  });

  it("takes no work that was done for another request, and none that is too little", async () => {
    const owner = await busyOwner("emil");
    const other = await enrolmentBody(server, ticketOf(owner, { name: "emil-other" }), createTestSigner());
    const work = await findWork(other.possession, { bits: 14, pause });
    const own = await enrolmentBody(server, ticketOf(owner, { name: "emil-own" }), createTestSigner());
    expect(workBitsOf(own.possession, work)).toBeLessThan(14);
    for (const body of [
      { ...own, work },
      {
        ...(await enrolmentBody(server, ticketOf(owner, { name: "emil-own" }), createTestSigner())),
        work: "0",
      },
    ]) {
      const answer = await send(server.url, {
        method: "POST",
        target: "/v1/instances",
        body: JSON.stringify(body),
      });
      expect([answer.status, codeOf(answer)]).toEqual([429, "registration_costly"]);
    }
  });

  it("costs four times as much for each further multiple of the rate", async () => {
    const owner = await busyOwner("fred");
    for (let made = 0; made < EASY; made += 1)
      expect((await register(owner, `fred-second-${made}`, 14)).status).toBe(200);
    const refused = await register(owner, "fred-third", 0);
    expect([refused.status, refused.headers["trustwarden-work"]]).toEqual([429, "16"]);
  });

  it("is paid by the SDK without its caller noticing", async () => {
    const owner = await busyOwner("gail");
    const found = await send(server.url, { target: "/.well-known/trustwarden" });
    const { authorities_sha256: authoritiesSha256 } = discovery.parse(jsonOf(found));
    const ticket = formatTicketValue({
      authoritiesSha256,
      server: server.url,
      ticket: ticketOf(owner, { name: "gail-more" }),
    });
    const agent = await AgentIdentity.create({ name: "gail-more", ticket });
    expect(agent.id).toContain("/gail-more/");
    await agent.close();
  });

  it("is not a further instance of an agent that is known, and not an agent that an agent made", async () => {
    const owner = await busyOwner("hugo");
    expect((await register(owner, "hugo-easy-0", 0)).status).toBe(200);
    const root = await enrolAgent(server, owner, { name: "hugo-easy-1" });
    for (let made = 0; made < 4 * EASY && made < 8; made += 1)
      await spawn(server, root, { name: `hugo-sub-${made}` });
  });

  it.each([
    ["below", "-1"],
    ["padded", "01"],
    ["long", "1".repeat(16)],
    ["odd", "x"],
  ])("brings no work that is %s", async (name, work) => {
    const owner = await createOwner(server, `ivan-${name}`);
    const ticket = ticketOf(owner, { name: `ivan-${name}` });
    const body = JSON.stringify({ ...(await enrolmentBody(server, ticket, createTestSigner())), work });
    const answer = await send(server.url, { method: "POST", target: "/v1/instances", body });
    expect([answer.status, codeOf(answer)]).toEqual([400, "request_malformed"]);
  });
});

describe("a new agent that goes to another owner", () => {
  it("counts for who takes it: nobody makes agents easily in the names of others", async () => {
    const [giver, busy] = [await createOwner(server, "giver"), await busyOwner("taker")];
    const idle = await createOwner(server, "idle");
    const agent = await enrolAgent(server, giver, { name: "given" });
    const take = async (to: TestOwner): Promise<RawAnswer> => {
      const transfer = transferDocument(agent, { from: giver.ownerId, to: to.ownerId });
      const offer = signTransfer(transfer, giver);
      expect((await postAsOwner(server, giver, offering(offer))).status).toBe(200);
      return postAsOwner(server, to, accepting(offer, signTransfer(transfer, to)));
    };
    const refused = await take(busy);
    expect([refused.status, codeOf(refused)]).toEqual([429, "registration_costly"]);
    expect((await take(idle)).status).toBe(200);
  });
});
