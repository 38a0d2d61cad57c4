/** Organizations: who belongs together, and what their own admins see and stop of the others, which is agents and no more. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createOwner, enrolAgent, type TestInstance } from "./support/actors.ts";
import { codeOf, jsonOf, type RawAnswer, sendAdmin } from "./support/http.ts";
import { depositTicket, signTicket } from "./support/passkey-documents.ts";
import { CONSOLE, createLink, createPerson, sendConsole, type TestPerson } from "./support/people.ts";
import { eventsOf, payloadsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
let admin: TestPerson;
let lead: TestPerson;
let member: TestPerson;
let stranger: TestPerson;
let agent: TestInstance;
let id: string;

/** A person who is the owner of one agent. */
async function ownerOf(name: string): Promise<{ person: TestPerson; agent: TestInstance }> {
  const owner = await createOwner(server, name);
  const made = await enrolAgent(server, owner, { name: `of-${name}` });
  return { person: await createPerson(server, { roles: ["owner"], owner: owner.ownerId }), agent: made };
}

beforeAll(async () => {
  server = await startTestServer(CONSOLE);
  admin = await createPerson(server);
  lead = (await ownerOf("lead")).person;
  ({ person: member, agent } = await ownerOf("member"));
  stranger = (await ownerOf("stranger")).person;
  id = String(jsonOf(await post("/v1/organizations", { name: "payments" })).organization_id);
  await setMember(lead, "admin");
  await setMember(member);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const post = (target: string, body: object, { cookie }: Pick<TestPerson, "cookie"> = admin) =>
  sendConsole(server, { method: "POST", target, body: JSON.stringify(body) }, cookie);
const get = (target: string, { cookie }: Pick<TestPerson, "cookie">) =>
  sendConsole(server, { target }, cookie);
const verdict = (answer: RawAnswer) => [answer.status, answer.status === 200 ? "" : codeOf(answer)];
const setMember = ({ personId }: TestPerson, role = "member") =>
  post(`/v1/organizations/${id}/members`, { person: personId, role });

describe("an organization", () => {
  it("is made, named and filled by an admin, and each change is in the ledger", async () => {
    const made = await post("/v1/organizations", { name: "research" });
    const other = String(jsonOf(made).organization_id);
    expect(verdict(await post("/v1/organizations", { name: "research" }))).toEqual([
      409,
      "organization_exists",
    ]);
    expect(jsonOf(await post(`/v1/organizations/${other}/name`, { name: "science" })).name).toBe("science");
    const [event] = await eventsOf(server, "person");
    const [record] = event === undefined ? [] : await payloadsOf(server, event);
    expect(record).toMatchObject({
      subject: other,
      details: { change: "organization-rename", name: "science" },
    });
    expect(jsonOf(await get(`/v1/organizations/${id}`, admin))).toMatchObject({
      name: "payments",
      members: 2,
      people: expect.arrayContaining([
        expect.objectContaining({ person_id: lead.personId, role: "admin", owner_id: lead.ownerId }),
        expect.objectContaining({ person_id: member.personId, role: "member" }),
      ]),
    });
    expect(
      verdict(await post(`/v1/organizations/${id}/members`, { person: `prs_${"0".repeat(26)}` })),
    ).toEqual([404, "not_found"]);
  });

  it("is joined by an invitation too, and left by who is taken out", async () => {
    const link = await createLink(server, { roles: ["auditor"], organization: id });
    const invited = await createPerson(server, link);
    const session = jsonOf(await get("/v1/session", invited));
    expect(session.organizations).toEqual([{ organization_id: id, name: "payments", role: "member" }]);
    const removal = { person: invited.personId };
    expect(verdict(await post(`/v1/organizations/${id}/members/removal`, removal))).toEqual([200, ""]);
    expect(jsonOf(await get("/v1/session", invited)).organizations).toEqual([]);
    expect(verdict(await post(`/v1/organizations/${id}/members/removal`, removal))).toEqual([
      404,
      "not_found",
    ]);
  });

  it("is nobody's to change but an admin's of the place", async () => {
    const people = [lead, member, await createPerson(server, { roles: ["operator"] })];
    for (const person of people) {
      expect((await post("/v1/organizations", { name: "mine" }, person)).status).toBe(401);
      const joining = { person: stranger.personId, role: "admin" };
      expect((await post(`/v1/organizations/${id}/members`, joining, person)).status).toBe(401);
    }
  });
});

describe("an organization's admin", () => {
  const agents = (person: TestPerson, owner: string | null = member.ownerId) =>
    get(`/v1/agents?owner=${owner}`, person);

  it("sees its members and their agents; a member and a stranger see neither", async () => {
    expect((await get(`/v1/organizations/${id}`, lead)).text).toContain(member.personId);
    expect((await agents(lead)).text).toContain(agent.answer.agent_id);
    expect((await get(`/v1/agents/${agent.answer.agent_id}`, lead)).status).toBe(200);
    expect((await get(`/v1/tree?under=${member.ownerId}`, lead)).text).toContain(agent.answer.agent_id);
    for (const person of [member, stranger]) {
      expect(verdict(await get(`/v1/organizations/${id}`, person))).toEqual([403, "denied"]);
      expect(verdict(await agents(person, lead.ownerId))).toEqual([403, "denied"]);
      expect((await get(`/v1/tree?under=${lead.ownerId}`, person)).status).toBe(404);
    }
    expect(verdict(await agents(lead, stranger.ownerId))).toEqual([403, "denied"]);
    expect(jsonOf(await get("/v1/agents", lead)).agents).toHaveLength(1);
  });

  it("stops a member's agent, and not the member, a stranger's agent or what the member signs", async () => {
    const other = await ownerOf("other-stranger");
    const foreign = { target: { kind: "agent", id: other.agent.answer.agent_id } };
    expect(verdict(await post("/v1/revocations", foreign, lead))).toEqual([403, "denied"]);
    const owner = { target: { kind: "owner", id: member.ownerId } };
    expect(verdict(await post("/v1/revocations", owner, lead))).toEqual([403, "denied"]);
    const ticket = await signTicket(server, { person: member }, { name: "not-theirs" });
    expect((await depositTicket(server, lead, ticket)).status).not.toBe(200);
    const stop = { target: { kind: "agent", id: agent.answer.agent_id } };
    expect(verdict(await post("/v1/revocations", stop, stranger))).toEqual([403, "denied"]);
    expect(verdict(await post("/v1/revocations", stop, lead))).toEqual([200, ""]);
  });

  it("is one no more when it is made a member, at its next request", async () => {
    await setMember(lead);
    expect(verdict(await agents(lead))).toEqual([403, "denied"]);
    await setMember(lead, "admin");
    expect((await agents(lead)).status).toBe(200);
  });
});

describe("the end of an organization", () => {
  it("waits until no member answers for live agents; its name stays taken", async () => {
    const target = `/v1/organizations/${id}/removal`;
    expect(verdict(await post(target, {}))).toEqual([409, "organization_in_use"]);
    const stop = { target: { kind: "owner", id: lead.ownerId } };
    await sendAdmin(server.adminSocket, {
      method: "POST",
      target: "/v1/revocations",
      body: JSON.stringify(stop),
    });
    const link = createLink(server, { roles: ["auditor"], organization: id });
    await link;
    expect(verdict(await post(target, {}))).toEqual([200, ""]);
    expect(verdict(await get(`/v1/organizations/${id}`, admin))).toEqual([404, "not_found"]);
    expect(jsonOf(await get("/v1/session", member)).organizations).toEqual([]);
    expect(codeOf(await post("/v1/organizations", { name: "payments" }))).toBe("organization_exists");
    await expect(createPerson(server, await link)).rejects.toThrow("nobody was let in");
  });
});
