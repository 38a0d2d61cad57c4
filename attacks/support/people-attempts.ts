/** Calls of the routes about people, and of the ledger's turn: each with the one event that it must leave. */
import { SoftwareAuthenticator } from "../../test/support/authenticator.ts";
import { jsonOf, type RawAnswer, sendAdmin } from "../../test/support/http.ts";
import { signTicket } from "../../test/support/passkey-documents.ts";
import {
  askConfirmation,
  challengeFor,
  createLink,
  createPerson,
  originOf,
  sendConsole,
  useLink,
} from "../../test/support/people.ts";
import type { Attempt } from "./registry-attempts.ts";
import type { World } from "./world.ts";

const CONFIRMATIONS = "/v1/confirmations";
const CONFIRMED = "/v1/confirmations/{id}/answer";
const BY_PROVIDER = "/v1/session/by-provider";
const INVITED = { roles: ["auditor"] };

/** People as they come, log in and log out. @param world - whose server has a console. */
export async function peopleAttempts({ server }: World): Promise<readonly Attempt[]> {
  const person = await createPerson(server, {}, { isCounting: false });
  const { authenticator, cookie } = person;
  const ticket = await signTicket(server, { person });
  const grant = () => post("/v1/tickets", { ticket }, cookie);
  const link = await createLink(server, INVITED);
  const device = () => new SoftwareAuthenticator({ origin: originOf(server) });
  const credential = authenticator.get(await challengeFor(server, "log-in"));
  const post = (target: string, body: object, session?: string): Promise<RawAnswer> =>
    sendConsole(server, { method: "POST", target, body: JSON.stringify(body) }, session);
  const invite = (body: object) => () =>
    sendAdmin(server.adminSocket, {
      method: "POST",
      target: "/v1/people/links",
      body: JSON.stringify(body),
    });
  const come = () => useLink(server, { link, authenticator: device() });
  const logIn = () => post("/v1/session", { credential });
  const asked = { method: "POST", target: "/v1/ledger/turns", body: "{}", reason: "to see" };
  const ask = () => post("/v1/confirmations", asked, cookie);
  const askForNothing = () => post("/v1/confirmations", { ...asked, target: "/v1/owners" }, cookie);
  const id = await askConfirmation(server, { cookie }, asked);
  const answer = (session: string) => () =>
    post(`/v1/confirmations/${id}/answer`, { answer: "refuse" }, session);
  const orderBackup = () => post("/v1/backups", {}, cookie);
  const release = () => post("/v1/restore/release", { restore: `rst_${"0".repeat(32)}` }, cookie);
  const logOut = () => post("/v1/session/end", {}, cookie);
  const noWord = { code: "x", code_verifier: "A".repeat(43), nonce: "A" };
  const comeProvided = () => post("/v1/people/by-provider", { ...noWord, link, name: "x", provider: "x" });
  const logInProvided = () => post("/v1/session/by-provider", { ...noWord, provider: "x" });
  const created = device().create(await challengeFor(server, "register"));
  const assertion = authenticator.get(await challengeFor(server, "add-identity:x"));
  const addProvided = () => post("/v1/session/identities", { ...noWord, provider: "x", assertion }, cookie);
  const makeFirst = () => post("/v1/session/passkeys/first", { credential: created }, cookie);
  const stranger = { person: `prs_${"0".repeat(26)}` };
  return [
    { route: "/v1/people/links", what: "a link", status: 200, kind: "person", ask: invite(INVITED) },
    { route: "/v1/people/links", what: "nobody's link", status: 404, kind: "refuse", ask: invite(stranger) },
    { route: "/v1/people", what: "somebody with a link", status: 200, kind: "person", ask: come },
    { route: "/v1/people", what: "a used link", status: 401, kind: "refuse", ask: come },
    {
      route: "/v1/people/by-provider",
      what: "a used link, and nobody's word",
      status: 401,
      kind: "refuse",
      ask: comeProvided,
    },
    { route: "/v1/backups", what: "one admin's order", status: 403, kind: "refuse", ask: orderBackup },
    { route: "/v1/restore/release", what: "one admin's word", status: 403, kind: "refuse", ask: release },
    { route: BY_PROVIDER, what: "nobody's word", status: 404, kind: "refuse", ask: logInProvided },
    {
      route: "/v1/session/identities",
      what: "nobody's word beside a passkey's",
      status: 404,
      kind: "refuse",
      ask: addProvided,
    },
    {
      route: "/v1/session/passkeys/first",
      what: "a second passkey as a first",
      status: 403,
      kind: "refuse",
      ask: makeFirst,
    },
    ...(await organizationAttempts(server, person.personId)),
    { route: "/v1/session", what: "a passkey", status: 200, kind: "session", ask: logIn },
    { route: "/v1/session", what: "a used challenge", status: 401, kind: "refuse", ask: logIn },
    { route: CONFIRMATIONS, what: "a question", status: 200, kind: "confirmation", ask },
    { route: CONFIRMATIONS, what: "what needs none", status: 400, kind: "refuse", ask: askForNothing },
    { route: CONFIRMED, what: "a no", status: 200, kind: "confirmation", ask: answer(cookie) },
    { route: CONFIRMED, what: "a second no", status: 403, kind: "refuse", ask: answer(cookie) },
    { route: CONFIRMED, what: "nobody's no", status: 401, kind: "refuse", ask: answer("") },
    { route: "/v1/tickets", what: "a signed ticket", status: 200, kind: "ticket", ask: grant },
    { route: "/v1/tickets", what: "its second use", status: 401, kind: "refuse", ask: grant },
    { route: "/v1/session/end", what: "an end", status: 200, kind: "session", ask: logOut },
    { route: "/v1/session/end", what: "an ended session", status: 401, kind: "refuse", ask: logOut },
  ];
}

/** What somebody may be, may prove itself with, and how it ends. @param world - whose server has a console and an admin. */
export async function livesAttempts({ server }: World): Promise<readonly Attempt[]> {
  const person = await createPerson(server, INVITED, { isCounting: false });
  const further = new SoftwareAuthenticator({ origin: originOf(server) });
  const credential = further.create(await challengeFor(server, "register"));
  const word = async (purpose: "add-passkey" | "remove-passkey") =>
    person.authenticator.get(await challengeFor(server, purpose));
  const adding = { credential, assertion: await word("add-passkey") };
  const removing = { credential_id: further.credentialId, assertion: await word("remove-passkey") };
  const ofPerson = (target: string, body: object) => () =>
    sendConsole(server, { method: "POST", target, body: JSON.stringify(body) }, person.cookie);
  const ofOperator = (act: string, body: object) => () =>
    sendAdmin(server.adminSocket, {
      method: "POST",
      target: `/v1/people/${person.personId}/${act}`,
      body: JSON.stringify(body),
    });
  const add = ofPerson("/v1/session/passkeys", adding);
  const remove = ofPerson("/v1/session/passkeys/removal", removing);
  const change = ofOperator("roles", { roles: ["operator"] });
  const makeOwner = ofOperator("roles", { roles: ["owner"] });
  const end = ofOperator("end", {});
  const [keys, removal] = ["/v1/session/passkeys", "/v1/session/passkeys/removal"];
  const [roles, ended] = ["/v1/people/{id}/roles", "/v1/people/{id}/end"];
  return [
    { route: keys, what: "a further passkey", status: 200, kind: "person", ask: add },
    { route: keys, what: "a used challenge", status: 401, kind: "refuse", ask: add },
    { route: removal, what: "a removal", status: 200, kind: "person", ask: remove },
    { route: removal, what: "a used word", status: 401, kind: "refuse", ask: remove },
    { route: roles, what: "another role", status: 200, kind: "person", ask: change },
    { route: roles, what: "an owner of nothing", status: 400, kind: "refuse", ask: makeOwner },
    { route: ended, what: "an end", status: 200, kind: "person", ask: end },
    { route: ended, what: "a second end", status: 404, kind: "refuse", ask: end },
  ];
}

/** The turn to the ledger's next shard: what was recorded before is in the old one, and what follows in the next. */
export function turnAttempts({ server }: World): readonly Attempt[] {
  const route = "/v1/ledger/turns";
  const ask = (body: object) => () =>
    sendAdmin(server.adminSocket, { method: "POST", target: route, body: JSON.stringify(body) });
  return [
    { route, what: "a turn", status: 200, kind: "admin", ask: ask({}) },
    { route, what: "a shard that it names", status: 400, kind: "", ask: ask({ shard: "9999q4" }) },
  ];
}

/** An organization as it is made, filled and ended. */
async function organizationAttempts(
  { adminSocket }: World["server"],
  person: string,
): Promise<readonly Attempt[]> {
  const all = "/v1/organizations";
  const send = (target: string, body: object) =>
    sendAdmin(adminSocket, { method: "POST", target, body: JSON.stringify(body) });
  const { organization_id: id } = jsonOf(await send(all, { name: "of-the-suite" }));
  const of = (what: string, body: object) => () => send(`${all}/${String(id)}${what}`, body);
  const made = () => send(all, { name: "another" });
  const row = (what: string) => `${all}/{id}${what}`;
  const changed = { status: 200, kind: "person" } as const;
  const missing = { status: 404, kind: "refuse" } as const;
  return [
    { route: all, what: "an organization", ...changed, ask: made },
    { route: all, what: "the same again", status: 409, kind: "refuse", ask: made },
    { route: row("/name"), what: "a name", ...changed, ask: of("/name", { name: "renamed" }) },
    { route: row("/members"), what: "a member", ...changed, ask: of("/members", { person }) },
    {
      route: row("/members/removal"),
      what: "its removal",
      ...changed,
      ask: of("/members/removal", { person }),
    },
    { route: row("/members/removal"), what: "nobody's", ...missing, ask: of("/members/removal", { person }) },
    { route: row("/removal"), what: "the end", ...changed, ask: of("/removal", {}) },
    { route: row("/removal"), what: "a second end", ...missing, ask: of("/removal", {}) },
    { route: row("/name"), what: "a name of what ended", ...missing, ask: of("/name", { name: "x" }) },
    { route: row("/members"), what: "a member of what ended", ...missing, ask: of("/members", { person }) },
  ];
}
