/** How much agents may ask for, and what is submitted in bulk: refused early, or recorded whole. */
import { type DecisionAnswer, MAX_OUTCOMES, outcomesAnswer } from "@trustwarden/core/api/action.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  askDecision,
  createOwner,
  enrolAgent,
  intentOf,
  outcomeOf,
  parseAnswer,
  parseDecision,
  serverIdOf,
  signedRequest,
  type TestInstance,
  type TestOwner,
} from "./support/actors.ts";
import { codeOf, jsonOf, type RawAnswer, send } from "./support/http.ts";
import { eventsOf } from "./support/refusals.ts";
import { createHome, startTestServer, type TestServer } from "./support/server.ts";

/** No token comes back while a test runs. */
const NEVER = 0.01;
const AGENT_BURST = 4;
const OWNER_BURST = 6;

let server: TestServer;
let aud: string;

async function act(agent: TestInstance): Promise<RawAnswer> {
  return askDecision(server, { caller: agent, agent, intent: intentOf(agent, { aud }) });
}

function report(agent: TestInstance, outcomes: readonly string[]): Promise<RawAnswer> {
  const body = JSON.stringify({ outcomes });
  return send(server.url, { method: "POST", target: "/v1/outcomes", body }, agent.tls);
}

describe("an agent that asks for too much", () => {
  let owner: TestOwner;
  let agent: TestInstance;
  let allowed: DecisionAnswer;

  beforeAll(async () => {
    const agentLimit = { perSecond: NEVER, burst: AGENT_BURST };
    const ownerLimit = { perSecond: NEVER, burst: OWNER_BURST };
    server = await startTestServer({ intake: { agent: agentLimit, owner: ownerLimit } });
    aud = await serverIdOf(server);
    owner = await createOwner(server);
    agent = await enrolAgent(server, owner, { scope: ["read:transactions"] });
    allowed = parseDecision(await act(agent));
    for (let asked = 1; asked < AGENT_BURST; asked += 1) expect((await act(agent)).status).toBe(200);
  });
  afterAll(() => server.close());

  it("is turned away, and told when to come again", async () => {
    const answer = await act(agent);
    expect([answer.status, codeOf(answer)]).toEqual([429, "rate_limited"]);
    expect(Number(answer.headers["retry-after"])).toBeGreaterThan(1);
  });

  it("is turned away from the rest of the server too", async () => {
    const request = { target: "/v1/events", action: "read:ledger", aud };
    expect(codeOf(await send(server.url, signedRequest(agent, request), agent.tls))).toBe("rate_limited");
  });

  it("still reports what it did", async () => {
    expect((await report(agent, [outcomeOf(agent, allowed.receipt)])).status).toBe(200);
  });

  it("leaves a count under its own name in the ledger", async () => {
    const counted = async () =>
      (await eventsOf(server, "refuse")).map(({ reasons, authorized_by }) => [reasons, authorized_by]);
    await expect
      .poll(counted, { timeout: 20_000 })
      .toContainEqual([["rate_limited"], agent.answer.spiffe_id]);
  });

  it("does not stop the owner's other agents, until the owner has asked for too much", async () => {
    const other = await enrolAgent(server, owner, { scope: ["read:transactions"], name: "other" });
    for (let asked = AGENT_BURST; asked < OWNER_BURST; asked += 1) {
      expect((await act(other)).status).toBe(200);
    }
    expect(codeOf(await act(other))).toBe("rate_limited");
    const stranger = await enrolAgent(server, await createOwner(server, "bob"), { name: "third" });
    expect((await act(stranger)).status).toBe(200);
  });

  it("is stopped, and stops itself, as if nothing had been", async () => {
    const body = JSON.stringify({ target: { kind: "instance", id: agent.answer.instance_id } });
    const request = { method: "POST", target: "/v1/revocations", body, action: "revoke:instance", aud };
    const answer = await send(server.stopUrl, signedRequest(agent, request), agent.tls);
    expect(answer.status).toBe(200);
    expect((await act(agent)).status).toBe(401);
  });
});

describe("reports of what was never decided", () => {
  beforeAll(async () => {
    // The allowance of refusals does not grow while this clock stands.
    server = await startTestServer({}, createHome(), { nowMs: () => Date.now(), monoMs: () => 1000 });
    aud = await serverIdOf(server);
  });
  afterAll(() => server.close());

  it("are each refused, and do not fill the ledger", async () => {
    const agent = await enrolAgent(server, await createOwner(server), { scope: ["read:transactions"] });
    const { receipt } = parseDecision(await act(agent));
    const outcome = outcomeOf(agent, { ...receipt, intent_sha256: "A".repeat(43) });
    for (let asked = 0; asked < 80; asked += 1)
      expect(codeOf(await report(agent, [outcome]))).toBe("outcome_refused");
    const refused = (await eventsOf(server, "refuse")).filter(
      ({ reasons: [code] }) => code === "outcome_refused",
    );
    expect(refused).toHaveLength(60);
    expect(refused[0]).toMatchObject({ chain: agent.answer.chain, authorized_by: agent.answer.spiffe_id });
  });
});

describe.each([0, 2])("outcomes in bulk, checked in %i threads", (threads) => {
  let agent: TestInstance;
  let outcomes: readonly string[];
  let decided: readonly DecisionAnswer[];

  beforeAll(async () => {
    server = await startTestServer({ intake: { threads } });
    aud = await serverIdOf(server);
    agent = await enrolAgent(server, await createOwner(server), { scope: ["read:transactions"] });
    const answers = await Promise.all(Array.from({ length: 40 }, () => act(agent)));
    decided = answers.map(parseDecision);
    outcomes = decided.map(({ receipt }) => outcomeOf(agent, receipt));
  });
  afterAll(() => server.close());

  it("are recorded whole or not at all: one altered signature is found among many", async () => {
    const last = decided.at(-1);
    if (last === undefined) throw new Error("decisions were made");
    const foreign = await enrolAgent(server, await createOwner(server, "eve"), { name: "eve" });
    const altered = outcomeOf({ ...agent, signer: foreign.signer }, last.receipt);
    expect((await report(agent, [...outcomes.slice(0, -1), altered])).status).toBe(401);
    const ended = (await eventsOf(server, "action")).filter(({ outcome }) => outcome === "success");
    expect(ended).toEqual([]);
  });

  it("are recorded in one request, and again in many at once change nothing", async () => {
    const { indexes } = parseAnswer(outcomesAnswer, await report(agent, outcomes));
    expect(new Set(indexes).size).toBe(outcomes.length);
    const again = await Promise.all(Array.from({ length: 8 }, () => report(agent, outcomes)));
    for (const answer of again) expect(jsonOf(answer).indexes).toEqual(indexes);
  });

  it("fill a whole request", async () => {
    const [outcome = ""] = outcomes;
    const answer = await report(
      agent,
      Array.from({ length: MAX_OUTCOMES }, () => outcome),
    );
    expect(answer.status).toBe(200);
  });
});

describe("a server with too much on its way", () => {
  beforeAll(async () => {
    server = await startTestServer({ intake: { places: 8 } });
    aud = await serverIdOf(server);
  });
  afterAll(() => server.close());

  it("refuses what it has no place for, records the rest, and takes the refused again", async () => {
    const agent = await enrolAgent(server, await createOwner(server), { scope: ["read:transactions"] });
    const receipts: DecisionAnswer["receipt"][] = [];
    for (let made = 0; made < 6; made += 1) receipts.push(parseDecision(await act(agent)).receipt);
    const outcomes = receipts.map((receipt) => outcomeOf(agent, receipt));
    // Alone it is let in, however large; a second one beside it is not.
    const answers = await Promise.all(Array.from({ length: 6 }, () => report(agent, outcomes)));
    const turnedAway = answers.filter(({ status }) => status === 429);
    expect(answers.filter(({ status }) => status === 200).length + turnedAway.length).toBe(6);
    for (const answer of turnedAway) {
      expect([codeOf(answer), answer.headers["retry-after"]]).toEqual(["overloaded", "1"]);
    }
    expect((await report(agent, outcomes)).status).toBe(200);
    const ended = (await eventsOf(server, "action")).filter(({ outcome }) => outcome === "success");
    expect(ended).toHaveLength(6);
  });
});
