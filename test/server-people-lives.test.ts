/** What somebody may be changes and ends; passkeys come and go with the word of one that stays. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createOwner, enrolAgent, postEnrolment, ticketOf } from "./support/actors.ts";
import { SoftwareAuthenticator } from "./support/authenticator.ts";
import { codeOf, jsonOf, type RawAnswer, sendAdmin } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import { depositTicket, signTicket } from "./support/passkey-documents.ts";
import {
  askConfirmation,
  CONSOLE,
  challengeFor,
  confirm,
  confirmed,
  createLink,
  createPerson,
  logIn,
  originOf,
  refresh,
  sendConsole,
  type TestPerson,
  useLink,
} from "./support/people.ts";
import { eventsOf, expectRefused } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
let admin: TestPerson;
let second: TestPerson;

beforeAll(async () => {
  server = await startTestServer(CONSOLE);
  admin = await createPerson(server);
  second = await createPerson(server, { roles: ["admin"] });
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const post = (target: string, body: object, { cookie }: TestPerson = admin) =>
  sendConsole(server, { method: "POST", target, body: JSON.stringify(body) }, cookie);
const sessionOf = ({ cookie }: TestPerson) => sendConsole(server, { target: "/v1/session" }, cookie);
const verdict = (answer: RawAnswer) => [answer.status, answer.status === 200 ? "" : codeOf(answer)];
const setRoles = ({ personId }: TestPerson, roles: readonly string[]) =>
  post(`/v1/people/${personId}/roles`, { roles });
const TURN = { method: "POST", target: "/v1/ledger/turns", body: "{}" } as const;
const raiseByOperator = ({ personId }: TestPerson) =>
  sendAdmin(server.adminSocket, {
    method: "POST",
    target: `/v1/people/${personId}/roles`,
    body: '{"roles":["admin"]}',
  });
const end = ({ personId }: TestPerson, by = admin) => post(`/v1/people/${personId}/end`, {}, by);

describe("roles", () => {
  it("are changed by an admin and count at the next request of a session that goes on", async () => {
    const person = await createPerson(server, { roles: ["operator"] });
    expect(jsonOf(await setRoles(person, ["auditor"])).roles).toEqual(["auditor"]);
    expect(jsonOf(await sessionOf(person)).roles).toEqual(["auditor"]);
    expect((await post("/v1/join-tokens", { name: "x" }, person)).status).toBe(401);
  });

  it("of an owner come by an invitation alone, and an admin's wait for a second admin", async () => {
    const person = await createPerson(server, { roles: ["auditor"] });
    expect(verdict(await setRoles(person, ["owner"]))).toEqual([400, "request_malformed"]);
    expect(verdict(await setRoles(person, ["admin"]))).toEqual([403, "confirmation_required"]);
    expect(verdict(await setRoles(second, ["auditor"]))).toEqual([403, "confirmation_required"]);
    const nobody = { ...person, personId: `prs_${"0".repeat(26)}` };
    expect(verdict(await setRoles(nobody, ["auditor"]))).toEqual([404, "not_found"]);
  });

  it("made by two count for nothing that these two ask within the day", async () => {
    const person = await createPerson(server, { roles: ["auditor"] });
    const target = `/v1/people/${person.personId}/roles`;
    const raise = { method: "POST", target, body: '{"roles":["admin"]}' } as const;
    const id = await askConfirmation(server, admin, raise);
    await confirm(server, second, id);
    expect((await confirmed(server, admin, raise, id)).status).toBe(200);
    const wish = await askConfirmation(server, admin, raise);
    expect(verdict(await confirm(server, person, wish))).toEqual([403, "second_admin_required"]);
  });

  it("that others raise do not make anybody forget who let somebody in", async () => {
    const link = jsonOf(await post("/v1/people/links", { roles: ["auditor"] })).link;
    const person = await createPerson(server, String(link));
    await raiseByOperator(person);
    const wish = await askConfirmation(server, admin, TURN);
    expect(verdict(await confirm(server, person, wish))).toEqual([403, "second_admin_required"]);
  });

  it("name nobody who confirmed something else", async () => {
    const id = await askConfirmation(server, admin, TURN);
    await confirm(server, second, id);
    expect((await confirmed(server, admin, TURN, id)).status).toBe(200);
    const invitation = { method: "POST", target: "/v1/people/links", body: '{"roles":["auditor"]}' } as const;
    const person = await createPerson(
      server,
      String(jsonOf(await confirmed(server, admin, invitation, id)).link),
    );
    await raiseByOperator(person);
    const wish = await askConfirmation(server, second, TURN);
    expect(verdict(await confirm(server, person, wish))).toEqual([200, ""]);
  });
});

describe("an invitation", () => {
  it("ends with the admin who made it", async () => {
    const maker = await createPerson(server, { roles: ["admin"] });
    const invited = await post("/v1/people/links", { roles: ["operator"] }, maker);
    const link = String(jsonOf(invited).link);
    const target = `/v1/people/${maker.personId}/end`;
    await sendAdmin(server.adminSocket, { method: "POST", target, body: "{}" });
    const authenticator = new SoftwareAuthenticator({ origin: originOf(server) });
    await expectRefused(server, () => useLink(server, { link, authenticator }), "link_invalid");
  });
});

describe("links that somebody made with a stolen passkey", () => {
  const thefts = async (maker: TestPerson) =>
    String(jsonOf(await post("/v1/people/links", { roles: ["operator"] }, maker)).link);
  const useOf = (link: string) => {
    const authenticator = new SoftwareAuthenticator({ origin: originOf(server) });
    return useLink(server, { link, authenticator });
  };

  it("end with a recovery, and nobody else's do", async () => {
    const maker = await createPerson(server, { roles: ["admin"] });
    const [stolen, other] = [await thefts(maker), await thefts(admin)];
    expect((await useOf(await createLink(server, { person: maker.personId }))).status).toBe(200);
    await expectRefused(server, () => useOf(stolen), "link_invalid");
    expect((await useOf(other)).status).toBe(200);
  });

  it("end with the removal of a passkey", async () => {
    const maker = await createPerson(server, { roles: ["admin"] });
    const added = new SoftwareAuthenticator({ origin: originOf(server) });
    const credential = added.create(await challengeFor(server, "register"));
    const word = maker.authenticator.get(await challengeFor(server, "add-passkey"));
    expect((await post("/v1/session/passkeys", { credential, assertion: word }, maker)).status).toBe(200);
    const stolen = await thefts(maker);
    const back = await refresh(server, { ...maker, authenticator: added });
    const assertion = added.get(await challengeFor(server, "remove-passkey"));
    const removal = { credential_id: maker.authenticator.credentialId, assertion };
    expect((await post("/v1/session/passkeys/removal", removal, back)).status).toBe(200);
    await expectRefused(server, () => useOf(stolen), "link_invalid");
  });
});

describe("the end of a person", () => {
  it("ends its sessions and passkeys, and it is still in the list", async () => {
    const person = await createPerson(server, { roles: ["auditor"] });
    const link = await createLink(server, { person: person.personId });
    expect(jsonOf(await end(person))).toMatchObject({ passkeys: 0, ended_at: expect.any(Number) });
    expect((await sessionOf(person)).status).toBe(401);
    await expectRefused(server, () => logIn(server, person.authenticator), "passkey_invalid");
    const credential = new SoftwareAuthenticator({ origin: originOf(server) });
    const registered = credential.create(await challengeFor(server, "register"));
    const back = { link, name: "Eve", credential: registered };
    expect((await post("/v1/people", back)).status).toBe(401);
    expect(verdict(await end(person))).toEqual([404, "not_found"]);
    const list = await sendConsole(server, { target: "/v1/people?limit=500" }, admin.cookie);
    expect(list.text).toContain(person.personId);
  });

  it("of an admin waits for a second one, and the last admin stays", async () => {
    expect(verdict(await end(second))).toEqual([403, "confirmation_required"]);
    const alone = await startTestServer(CONSOLE);
    const { personId } = await createPerson(alone);
    const target = `/v1/people/${personId}/end`;
    const answer = await sendAdmin(alone.adminSocket, { method: "POST", target, body: "{}" });
    expect(verdict(answer)).toEqual([409, "last_admin"]);
    await alone.close();
    alone.home.remove();
  });

  it("waits until the last agent that it answers for has ended", async () => {
    const owner = await createOwner(server, "leaving");
    const agent = await enrolAgent(server, owner);
    const person = await createPerson(server, { roles: ["owner"], owner: owner.ownerId });
    expect(verdict(await end(person))).toEqual([409, "owner_in_use"]);
    const last = { target: { kind: "agent", id: agent.answer.agent_id } };
    expect((await post("/v1/revocations", last, person)).status).toBe(200);
    const kept = ticketOf(owner, { name: "kept" });
    expect(verdict(await end(person))).toEqual([200, ""]);
    await expectRefused(server, () => postEnrolment(server, kept, createTestSigner()), "identity_revoked");
  });

  it("who answers for agents takes them along where that is asked, in the owner's name and in the ledger", async () => {
    const owner = await createOwner(server, "gone");
    const agent = await enrolAgent(server, owner, { name: "of-the-gone" });
    const person = await createPerson(server, { roles: ["owner"], owner: owner.ownerId });
    const target = `/v1/people/${person.personId}/end`;
    expect(verdict(await post(target, {}))).toEqual([409, "owner_in_use"]);
    expect(verdict(await post(target, { subtree: "suspend" }))).toEqual([200, ""]);
    const shown = await sendConsole(server, { target: `/v1/agents/${agent.answer.agent_id}` }, admin.cookie);
    expect(shown.text).toContain('"status":"revoked"');
    const kept = ticketOf(owner, { name: "kept-by-the-gone" });
    await expectRefused(server, () => postEnrolment(server, kept, createTestSigner()), "identity_revoked");
    const [stop] = await eventsOf(server, "revoke");
    expect(stop).toMatchObject({ owner_id: owner.ownerId, kind: "revoke" });
  });

  it("of the last admin stops nothing", async () => {
    const alone = await startTestServer(CONSOLE);
    const only = await createPerson(alone);
    const target = `/v1/people/${only.personId}/end`;
    const body = '{"subtree":"suspend"}';
    const answer = await sendAdmin(alone.adminSocket, { method: "POST", target, body });
    expect(verdict(answer)).toEqual([409, "last_admin"]);
    expect(await eventsOf(alone, "revoke")).toEqual([]);
    await alone.close();
    alone.home.remove();
  });

  it("of the last two admins, who leave at the same moment, stops the agents of the one who goes and of nobody else", async () => {
    const pair = await startTestServer(CONSOLE);
    const owners = await Promise.all(["left", "right"].map((name) => createOwner(pair, name)));
    const people: TestPerson[] = [];
    for (const { ownerId } of owners)
      people.push(await createPerson(pair, { roles: ["admin", "owner"], owner: ownerId }));
    const answers = await Promise.all(
      people.map(({ personId }) => {
        const target = `/v1/people/${personId}/end`;
        return sendAdmin(pair.adminSocket, { method: "POST", target, body: '{"subtree":"suspend"}' });
      }),
    );
    expect(answers.map(verdict).toSorted()).toEqual([
      [200, ""],
      [409, "last_admin"],
    ]);
    const gone = owners[answers.findIndex(({ status }) => status === 200)];
    expect(await eventsOf(pair, "revoke")).toEqual([expect.objectContaining({ owner_id: gone?.ownerId })]);
    await pair.close();
    pair.home.remove();
  });

  it("that keeps other roles ends what it signed as an owner and nobody used yet", async () => {
    const person = await createPerson(server, { roles: ["owner"] });
    const ticket = await signTicket(server, { person }, { name: "unused" });
    expect((await depositTicket(server, person, ticket)).status).toBe(200);
    expect(verdict(await setRoles(person, ["auditor"]))).toEqual([200, ""]);
    await expectRefused(server, () => postEnrolment(server, ticket, createTestSigner()), "identity_revoked");
  });
});

describe("a further passkey", () => {
  const device = () => new SoftwareAuthenticator({ origin: originOf(server) });
  const add = async (person: TestPerson, added: SoftwareAuthenticator, by = person.authenticator) => {
    const credential = added.create(await challengeFor(server, "register"));
    const assertion = by.get(await challengeFor(server, "add-passkey"));
    return post("/v1/session/passkeys", { credential, assertion }, person);
  };
  const remove = async (person: TestPerson, removed: SoftwareAuthenticator, by: SoftwareAuthenticator) => {
    const assertion = by.get(await challengeFor(server, "remove-passkey"));
    const body = { credential_id: removed.credentialId, assertion };
    return post("/v1/session/passkeys/removal", body, person);
  };

  it("is added with the word of one's own, and recovers whoever loses the first", async () => {
    const person = await createPerson(server, { roles: ["auditor"] });
    const other = await createPerson(server, { roles: ["auditor"] });
    const added = device();
    await expectRefused(server, () => add(person, device(), other.authenticator), "passkey_invalid");
    await expectRefused(server, () => add(person, device(), device()), "passkey_invalid");
    expect(jsonOf(await add(person, added)).passkeys).toHaveLength(2);
    expect(codeOf(await add(other, added))).toBe("key_reused");
    const back = await refresh(server, { ...person, authenticator: added });
    expect(verdict(await remove(back, person.authenticator, added))).toEqual([200, ""]);
    expect((await sessionOf(person)).status).toBe(401);
    expect((await sessionOf(back)).status).toBe(200);
    await expectRefused(server, () => logIn(server, person.authenticator), "passkey_invalid");
  });

  it("that is the last is never removed, and somebody else's is not there", async () => {
    const person = await createPerson(server, { roles: ["auditor"] });
    const { authenticator } = person;
    await expectRefused(server, () => remove(person, authenticator, authenticator), "passkey_invalid");
    expect(verdict(await remove(person, admin.authenticator, authenticator))).toEqual([404, "not_found"]);
    const login = authenticator.get(await challengeFor(server, "log-in"));
    const borrowed = { credential_id: authenticator.credentialId, assertion: login };
    await expectRefused(
      server,
      () => post("/v1/session/passkeys/removal", borrowed, person),
      "challenge_invalid",
    );
  });
});
