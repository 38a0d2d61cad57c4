/** People come in by a link and a passkey, log in, look around as far as their roles reach, and log out. */

import { type OwnerList, ownerList } from "@trustwarden/core/api/ledger.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createOwner, enrolAgent, parseAnswer } from "./support/actors.ts";
import { SoftwareAuthenticator } from "./support/authenticator.ts";
import { eventsOfKind } from "./support/crash-events.ts";
import { codeOf, jsonOf } from "./support/http.ts";
import {
  CONSOLE,
  cookieOf,
  createLink,
  createPerson,
  logIn,
  originOf,
  sendConsole,
  type TestPerson,
  useLink,
} from "./support/people.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
let admin: TestPerson;

beforeAll(async () => {
  server = await startTestServer(CONSOLE);
  admin = await createPerson(server);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const get = (target: string, cookie?: string) => sendConsole(server, { target }, cookie);

describe("the first admin", () => {
  it("comes in by a one-time link and is an owner and an admin", async () => {
    const session = jsonOf(await get("/v1/session", admin.cookie));
    expect(session).toMatchObject({ person_id: admin.personId, roles: ["owner", "admin"], via: "passkey" });
    expect(session.owner_id).toMatch(/^own_/);
    const [event] = await eventsOfKind(server, "owner");
    expect(event).toMatchObject({ owner_id: admin.ownerId });
  });

  it("is made once: the link is used up, and there is no second of its kind", async () => {
    const authenticator = new SoftwareAuthenticator({ origin: originOf(server) });
    const link = await createLink(server, { roles: ["auditor"] });
    expect((await useLink(server, { link, authenticator })).status).toBe(200);
    const again = new SoftwareAuthenticator({ origin: originOf(server) });
    expect((await useLink(server, { link, authenticator: again })).status).toBe(401);
  });
});

describe("an admin", () => {
  const invite = (body: object) =>
    sendConsole(
      server,
      { method: "POST", target: "/v1/people/links", body: JSON.stringify(body) },
      admin.cookie,
    );

  it("invites people, but alone makes no admin and becomes nobody else", async () => {
    expect((await invite({ roles: ["auditor", "operator", "owner"] })).status).toBe(200);
    const somebody = await createPerson(server, { roles: ["auditor"] });
    const owner = await createOwner(server, "somebody");
    for (const body of [
      { roles: ["admin"] },
      { person: somebody.personId },
      { roles: ["owner"], owner: owner.ownerId },
    ]) {
      const answer = await invite(body);
      expect([answer.status, codeOf(answer)]).toEqual([403, "confirmation_required"]);
    }
  });
});

describe("a session", () => {
  it("is opened by the passkey, anew each time, and ended by its holder", async () => {
    const answer = await logIn(server, admin.authenticator);
    expect([answer.status, answer.text]).toEqual([200, expect.stringContaining(admin.personId)]);
    const cookie = cookieOf(answer);
    expect(cookie).not.toBe(admin.cookie);
    expect([answer.headers["set-cookie"]].flat()[0]).toMatch(
      /^__Host-trustwarden=[\w-]{43}; Path=\/; Secure; HttpOnly; SameSite=Strict; Max-Age=\d+$/,
    );
    const ended = await sendConsole(
      server,
      { method: "POST", target: "/v1/session/end", body: "{}" },
      cookie,
    );
    expect(ended.status).toBe(200);
    expect((await get("/v1/session", cookie)).status).toBe(401);
    expect((await get("/v1/session", admin.cookie)).status).toBe(200);
  });

  it("is asked for: without one nobody is anybody", async () => {
    const answer = await get("/v1/session");
    expect([answer.status, codeOf(answer)]).toEqual([401, "principal_refused"]);
  });
});

describe("what a person sees", () => {
  it("is everything for an admin, and its own agents for an owner", async () => {
    const stranger = await createOwner(server, "stranger");
    const agent = await enrolAgent(server, stranger);
    const owner = await createPerson(server, { roles: ["owner"] });
    expect((await get("/v1/agents", admin.cookie)).text).toContain(agent.answer.agent_id);
    expect(jsonOf(await get("/v1/agents", owner.cookie)).agents).toEqual([]);
    expect((await get(`/v1/agents/${agent.answer.agent_id}`, owner.cookie)).status).toBe(403);
    expect((await get(`/v1/agents?owner=${stranger.ownerId}`, owner.cookie)).status).toBe(403);
    expect((await get("/v1/owners", owner.cookie)).status).toBe(401);
    expect((await get("/v1/owners", admin.cookie)).text).toContain("stranger");
    expect((await get("/v1/events?kind=issue", owner.cookie)).text).not.toContain(agent.answer.agent_id);
    expect((await get("/v1/events?kind=issue", admin.cookie)).text).toContain(agent.answer.agent_id);
  });
});

describe("whether an agent could do something", () => {
  let agentId: string | null;
  beforeAll(async () => {
    const made = { owner: await createOwner(server, "of-one-agent"), name: "asked-about" };
    agentId = (await enrolAgent(server, made.owner, { name: made.name })).answer.agent_id;
  });

  const evaluate = async (roles: readonly string[]) => {
    const { cookie } = await createPerson(server, { roles });
    const body = JSON.stringify({
      subject: { type: "agent", id: agentId },
      action: { name: "read" },
      resource: { type: "nowhere", id: "1" },
    });
    return sendConsole(server, { method: "POST", target: "/access/v1/evaluation", body }, cookie);
  };

  it("may be asked by whoever sees everybody's agents, and is recorded as the question of that person", async () => {
    for (const role of ["auditor", "operator", "admin"]) {
      const answer = await evaluate([role]);
      expect([role, answer.status, jsonOf(answer).decision]).toEqual([role, 200, false]);
    }
    expect((await eventsOfKind(server, "evaluation")).length).toBe(3);
  });

  it("is not asked by an owner, about whoever it is", async () => {
    const answer = await evaluate(["owner"]);
    expect([answer.status, codeOf(answer)]).toEqual([401, "principal_refused"]);
  });
});

describe("the owners", () => {
  it("come in pages, by name, each once", async () => {
    await createOwner(server, "page-a");
    await createOwner(server, "page-b");
    const all = parseAnswer(ownerList, await get("/v1/owners", admin.cookie)).owners.map(({ name }) => name);
    const names: string[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const page: OwnerList = parseAnswer(
        ownerList,
        await get(`/v1/owners?limit=2&cursor=${cursor}`, admin.cookie),
      );
      names.push(...page.owners.map(({ name }) => name));
      cursor = page.next_cursor;
    }
    expect(names).toEqual(all);
    expect(all).toEqual([...all].sort());
    expect(all.length).toBeGreaterThan(2);
  });
});
