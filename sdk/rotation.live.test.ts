/** The SDK over a rotation of the authority of a real server: who follows, how soon, and what still opens. */
import { connect } from "node:tls";
import { slotIdOf } from "@trustwarden/core/agentid/authority-slots.ts";
import { parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { authorityStepAnswer } from "@trustwarden/core/api/authority.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AgentIdentity } from "./agent-identity.ts";
import { type LiveServer, type LiveService, startLiveServer, startLiveService } from "./live.test.support.ts";

let live: LiveServer;
let service: LiveService;

beforeAll(async () => {
  live = await startLiveServer();
  service = await startLiveService(live, {
    name: "finance-api",
    routes: [
      { method: "GET", path: "/transactions", action: "read:transactions", resource: "db://transactions" },
    ],
    listener: (_request, response) => void response.end("[]"),
  });
});
afterAll(async () => {
  await service.close();
  await live.close();
});

const step = async (body: object) =>
  authorityStepAnswer.parse(await live.admin("POST", "/v1/authority/steps", body));
const agentOf = (name: string, ticket = live.ticket({ name, scope: ["read:transactions"] })) =>
  AgentIdentity.create({ name, ticket });
/** 200, or why not. A service whose lease ran out, as on a busy machine, says to try again, and is asked again. */
async function visit(agent: AgentIdentity): Promise<unknown> {
  for (;;) {
    const answer = await agent.fetch(`${service.url}/transactions`);
    const text = await answer.text();
    if (answer.status === 200) return 200;
    if (!text.includes("lease_expired")) return text;
  }
}

/** The key that issued the certificate that a service shows to strangers. */
async function issuerShownBy({ port }: LiveService): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
  await new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
  const issuer = socket.getPeerX509Certificate()?.issuerCertificate?.raw ?? new Uint8Array();
  socket.destroy();
  return slotIdOf(parseCertificate(issuer).spki);
}

async function eventually(check: () => Promise<boolean>): Promise<void> {
  while (!(await check())) await new Promise((resolve) => setTimeout(resolve, 20));
}

describe("a planned rotation of the intermediate", () => {
  it("fails no visit of many agents that act and renew without a pause, before, between or after", async () => {
    const agents = await Promise.all(Array.from({ length: 8 }, (_, index) => agentOf(`planned-${index}`)));
    const answers: unknown[] = [];
    let isOver = false;
    let renewals = 0;
    const visits = agents.map(async (agent) => {
      while (!isOver) answers.push(await visit(agent));
    });
    const renewing = agents.slice(0, 4).map(async (agent) => {
      while (!isOver) {
        await agent.renew();
        renewals += 1;
      }
    });
    const { keys } = await step({ step: "prepare", kind: "intermediate" });
    const old = keys.find(({ kind, state }) => kind === "intermediate" && state === "active");
    await step({ step: "activate", kind: "intermediate" });
    await step({ step: "prepare", kind: "jwt" });
    await Promise.all([...agents.map((agent) => agent.renew()), service.guardAgents.renew()]);
    await step({ step: "retire", id: old?.id, force: true });
    const enough = answers.length + 3 * agents.length;
    await eventually(async () => answers.length > enough);
    isOver = true;
    await Promise.all([...visits, ...renewing]);
    expect(renewals).toBeGreaterThan(8);
    const late = await agentOf("late");
    answers.push(await visit(late));
    expect(answers).toEqual(answers.map(() => 200));
    await Promise.all([...agents, late].map((agent) => agent.close()));
  });
});

describe("a forced rotation", () => {
  it("is heard by a service from the feed: it shows the new chain at once", async () => {
    await service.guardAgents.renew();
    const before = await issuerShownBy(service);
    const agent = await agentOf("forced");
    const { renew } = await step({ step: "rotate", kind: "intermediate", force: true });
    expect(renew).toContain(before);
    await eventually(async () => (await issuerShownBy(service)) !== before);
    expect(await visit(agent)).toBe(200);
    await agent.renew();
    await step({ step: "revoke", id: before });
    expect(await visit(agent)).toBe(200);
    await agent.close();
  });

  it("takes the agents of the same process along: one question for all", async () => {
    const agent = await agentOf("neighbour");
    const issuer = await issuerShownBy(service);
    await step({ step: "rotate", kind: "intermediate", force: true });
    await eventually(async () => (await issuerShownBy(service)) !== issuer);
    const renewals = `/v1/events?agent=${encodeURIComponent(agent.id)}&kind=renew`;
    await eventually(async () => Object(await live.admin("GET", renewals)).events.length > 0);
    await step({ step: "revoke", id: issuer });
    expect(await visit(agent)).toBe(200);
    await agent.close();
  });
});

describe("a rotation of the root", () => {
  it("opens for tickets and grants that were made before, and for whoever knew the old root only", async () => {
    const old = live.ticket({ name: "pinned", scope: ["read:transactions"] });
    const parent = await agentOf("parent");
    const [root] = (await step({ step: "prepare", kind: "root" })).keys.filter(
      ({ kind, state }) => kind === "root" && state === "active",
    );
    await step({ step: "activate", kind: "root", force: true });
    const { keys } = await step({ step: "rotate", kind: "intermediate" });
    const before = keys.find(({ kind, state, issuer_id }) => {
      return kind === "intermediate" && state === "superseded" && issuer_id === root?.id;
    });
    const late = await agentOf("pinned", old);
    expect(await visit(late)).toBe(200);
    // The parent's bundle is of before: it follows the successions, not a pin of its own.
    await parent.renew();
    expect(await visit(parent)).toBe(200);
    expect(before).toBeDefined();
    await Promise.all([late.close(), parent.close()]);
  });
});
