/** A human signs the ticket of an agent by a passkey, and whoever has the ledger's evidence can check it for ever. */

import { discovery } from "@trustwarden/core/api/ledger.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifyEvidence } from "../sdk/verify-evidence.ts";
import {
  enrolWith,
  ownerRequest,
  postEnrolment,
  serverIdOf,
  type TestInstance,
  ticketOf,
} from "./support/actors.ts";
import { SoftwareAuthenticator } from "./support/authenticator.ts";
import { eventsOfKind } from "./support/crash-events.ts";
import { askTravelling } from "./support/evidence.ts";
import { jsonOf, send, sendAdmin } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import { depositTicket, type Signing, signTicket } from "./support/passkey-documents.ts";
import { CONSOLE, createLink, createPerson, originOf, type TestPerson, useLink } from "./support/people.ts";
import { expectRefused } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
let owner: TestPerson;

beforeAll(async () => {
  server = await startTestServer(CONSOLE);
  owner = await createPerson(server, { roles: ["owner"] });
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const enrolment = (ticket: string) => postEnrolment(server, ticket, createTestSigner());

/** A ticket that the person signed and the server took in. */
async function deposited(person: TestPerson, name: string): Promise<string> {
  const ticket = await signTicket(server, { person }, { name });
  const answer = await depositTicket(server, person, ticket);
  expect([answer.status, answer.text]).toEqual([200, expect.stringContaining("ticket")]);
  return ticket;
}

async function agentOf(person: TestPerson, name: string): Promise<TestInstance> {
  return enrolWith(server, await deposited(person, name));
}

/** Gives somebody another passkey in the place of every one of before. */
async function recover({ personId }: TestPerson): Promise<void> {
  const authenticator = new SoftwareAuthenticator({ origin: originOf(server) });
  const link = await createLink(server, { person: personId });
  expect((await useLink(server, { link, authenticator })).status).toBe(200);
}

describe("a ticket that a passkey signed", () => {
  it("makes an agent of the person's own owner, once", async () => {
    const ticket = await deposited(owner, "first");
    const agent = await enrolWith(server, ticket);
    expect(agent.answer.owner_id).toBe(owner.ownerId);
    await expectRefused(server, () => enrolment(ticket), "ticket_used");
  });

  it("is told to the ledger when it is taken in, without the signature by which it could be used", async () => {
    const ticket = await signTicket(server, { person: owner }, { name: "told" });
    const { signatures } = JSON.parse(ticket);
    await depositTicket(server, owner, ticket);
    const [event] = await eventsOfKind(server, "ticket");
    const found = await sendAdmin(server.adminSocket, { target: `/v1/events/${event?.event_id}` });
    const [{ entry }] = Object(jsonOf(found)).records;
    const payload = Buffer.from(JSON.parse(entry).payload, "base64").toString();
    expect(payload).toContain('"name":"told"');
    expect(payload).not.toContain(signatures[0].sig);
  });

  it("is never one that a copy of the device's key signed as a file's key would, and neither is a request", async () => {
    const signer = createTestSigner(owner.authenticator.copiedKey());
    const copy = { ownerId: String(owner.ownerId), signer };
    await expectRefused(server, () => enrolment(ticketOf(copy, { name: "copied" })), "signature_invalid");
    const request = ownerRequest(copy, { target: "/v1/agents", aud: await serverIdOf(server) });
    const { status, text } = await send(server.url, request);
    expect([status, text]).toEqual([401, expect.stringContaining("principal_refused")]);
  });

  it("makes nobody before it was taken in", async () => {
    const ticket = await signTicket(server, { person: owner }, { name: "early" });
    await expectRefused(server, () => enrolment(ticket), "ticket_invalid");
  });

  it("makes nobody after its passkey was taken away", async () => {
    const person = await createPerson(server, { roles: ["owner"] });
    const ticket = await deposited(person, "late");
    await recover(person);
    await expectRefused(server, () => enrolment(ticket), "signature_invalid");
  });
});

describe("what a forger sends", () => {
  const refuse = async (signing: Partial<Signing>, asked: TestPerson = owner) => {
    const ticket = await signTicket(server, { person: owner, ...signing }, { name: "forged" });
    await expectRefused(server, () => depositTicket(server, asked, ticket), "signature_invalid");
  };

  it("is refused when the challenge was another", async () => {
    await refuse({ challenge: Buffer.alloc(32).toString("base64url") });
  });

  it.each([
    ["another origin", (origin: string) => ({ origin: origin.replace("localhost", "elsewhere.test") })],
    ["another port of this host", () => ({ origin: "http://localhost:1" })],
    ["another relying party", (origin: string) => ({ origin, rpId: "elsewhere.test" })],
    ["a user whom nobody verified", (origin: string) => ({ origin, isUserVerified: false })],
    ["a frame of another page", (origin: string) => ({ origin, isCrossOrigin: true })],
  ])("is refused from %s", async (_, otherwise) => {
    const authenticator = owner.authenticator.behaving(otherwise(originOf(server)));
    await refuse({ authenticator });
  });

  it("is refused by somebody else's passkey, in the owner's name and in its own", async () => {
    const other = await createPerson(server, { roles: ["owner"] });
    await refuse({ authenticator: other.authenticator });
    await refuse({}, other);
  });

  it("is refused when the grant is another than was signed, and when the assertion is used a second time", async () => {
    const ticket = await signTicket(server, { person: owner }, { name: "narrow" });
    const second = JSON.parse(await signTicket(server, { person: owner }, { name: "wide" }));
    const stolen = JSON.stringify({ ...JSON.parse(ticket), payload: second.payload });
    await expectRefused(server, () => depositTicket(server, owner, stolen), "signature_invalid");
    expect((await depositTicket(server, owner, ticket)).status).toBe(200);
    await expectRefused(server, () => depositTicket(server, owner, ticket), "challenge_used");
  });

  it("is refused from a copy of the device, whose count went back", async () => {
    const person = await createPerson(server, { roles: ["owner"] }, { isCounting: true });
    await deposited(person, "counted");
    const copy = person.authenticator.behaving({ origin: originOf(server) });
    copy.counter = 0;
    const ticket = await signTicket(server, { person, authenticator: copy }, { name: "copied" });
    await expectRefused(server, () => depositTicket(server, person, ticket), "passkey_invalid");
  });
});

describe("the evidence of an agent", () => {
  it("says that its owner signed by a passkey, to every verifier, also after the passkey is gone", async () => {
    const person = await createPerson(server, { roles: ["owner"] });
    const agent = await agentOf(person, "proven");
    await recover(person);
    const { log_vkey: vkey } = discovery.parse(
      jsonOf(await send(server.url, { target: "/.well-known/trustwarden" })),
    );
    const bundle = (await send(server.url, { target: "/v1/bundle" })).text;
    const evidence = await sendAdmin(server.adminSocket, {
      target: `/v1/evidence?agent=${agent.answer.agent_id}`,
    });
    const { events } = verifyEvidence(evidence.bytes, { log: { vkey }, roots: { bundle } });
    expect(events[0]?.authorizedBy[0]).toMatchObject({ by: person.ownerId, signedBy: "passkey" });
    const travelling = askTravelling(evidence.bytes, bundle, ["--vkey", vkey]);
    expect([travelling.status, travelling.stdout]).toEqual([
      0,
      expect.stringContaining(`${person.ownerId} signed by a passkey, the user verified, the ticket of`),
    ]);
  });
});
