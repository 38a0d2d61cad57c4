/** An agent registers itself, and does nothing until a human who has its code answers for it. */

import { draftTicket } from "@trustwarden/core/agentid/enrolment.ts";
import { claimView } from "@trustwarden/core/api/claims.ts";
import { identityAnswer } from "@trustwarden/core/api/identity.ts";
import { formatThumbprint } from "@trustwarden/core/crypto.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  createOwner,
  instanceOf,
  parseAnswer,
  postEnrolment,
  type TestOwner,
  ticketDocument,
} from "./support/actors.ts";
import {
  accept,
  askToBeClaimed,
  claimTicket,
  collect,
  type Foundling,
  postClaim,
  search,
  ticketIn,
  wishOf,
} from "./support/claims.ts";
import { codeOf, jsonOf, type RawAnswer } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import { keyidOf, signByPasskey } from "./support/passkey-documents.ts";
import { CONSOLE, createPerson } from "./support/people.ts";
import { eventsOf, payloadsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import { postAsPerson } from "./support/transfers.ts";

let server: TestServer;
let alice: TestOwner;
let bob: TestOwner;
let agent: Foundling;
let names = 0;

beforeAll(async () => {
  server = await startTestServer(CONSOLE);
  alice = await createOwner(server, "alice");
  bob = await createOwner(server, "bob");
});
beforeEach(async () => {
  names += 1;
  agent = await askToBeClaimed(server, wishOf(`foundling-${names}`));
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const verdict = (answer: RawAnswer) => [answer.status, answer.status === 200 ? "" : codeOf(answer)];
const enrolled = (ticket: string) => postEnrolment(server, ticket, agent.signer);
const UNPROVEN = [401, "principal_refused"];
const UNKNOWN = [404, "claim_unknown"];

describe("an agent that registered itself", () => {
  it("becomes its claimer's: by a ticket for its key, which it collects with that key", async () => {
    expect(verdict(await collect(server, agent, agent.signer))).toEqual([409, "claim_waiting"]);
    expect(parseAnswer(claimView, await search(server, alice, agent.code))).toMatchObject({
      claim_id: agent.claim_id,
      name: agent.wish.name,
      thumbprint: formatThumbprint(agent.signer.publicKey),
    });
    // As people type: without dashes, in lower case.
    const typed = agent.code.replaceAll("-", " ").toLowerCase();
    const taken = await accept(server, alice, { code: typed, ticket: claimTicket(alice, agent) });
    expect(jsonOf(taken)).toMatchObject({ owner_id: alice.ownerId, name: agent.wish.name });
    const ticket = ticketIn(await collect(server, agent, agent.signer));
    const answer = parseAnswer(identityAnswer, await postEnrolment(server, ticket, agent.signer));
    expect(instanceOf(answer, agent.signer).answer.owner_id).toBe(alice.ownerId);
  });

  it("has a ticket that no other key can use, and no other key collects it", async () => {
    await accept(server, alice, { code: agent.code, ticket: claimTicket(alice, agent) });
    const thief = createTestSigner();
    expect(verdict(await collect(server, agent, thief))).toEqual(UNKNOWN);
    const ticket = ticketIn(await collect(server, agent, agent.signer));
    expect(verdict(await postEnrolment(server, ticket, thief))).toEqual(UNPROVEN);
    expect((await enrolled(ticket)).status).toBe(200);
  });

  it("is claimed once", async () => {
    await accept(server, alice, { code: agent.code, ticket: claimTicket(alice, agent) });
    expect(verdict(await search(server, bob, agent.code))).toEqual(UNKNOWN);
    const again = await accept(server, bob, { code: agent.code, ticket: claimTicket(bob, agent) });
    expect(verdict(again)).toEqual(UNKNOWN);
  });

  it("may say whose it will be, and then nobody else learns that it waits", async () => {
    names += 1;
    const wish = wishOf(`foundling-${names}`, { owner: bob.ownerId });
    const pinned = await askToBeClaimed(server, wish);
    expect(verdict(await search(server, alice, pinned.code))).toEqual(UNKNOWN);
    const grabbed = await accept(server, alice, { code: pinned.code, ticket: claimTicket(alice, pinned) });
    expect(verdict(grabbed)).toEqual(UNKNOWN);
    const taken = await accept(server, bob, { code: pinned.code, ticket: claimTicket(bob, pinned) });
    expect(taken.status).toBe(200);
  });

  it("gets nothing that it did not ask for", async () => {
    const refused = async (changes: Parameters<typeof ticketDocument>[1]) =>
      verdict(await accept(server, alice, { code: agent.code, ticket: claimTicket(alice, agent, changes) }));
    const other = formatThumbprint(createTestSigner().publicKey);
    for (const changes of [
      { holder_thumbprint: other },
      { name: "another" },
      { path: "elsewhere" },
      { ttl_seconds: agent.wish.ttl_seconds + 1 },
      { scope: parseScope(["read:transactions", "delete:transactions"]) },
    ])
      expect(await refused(changes)).toEqual([409, "claim_mismatch"]);
    const bobs = await accept(server, alice, { code: agent.code, ticket: claimTicket(bob, agent) });
    expect(verdict(bobs)).toEqual(UNPROVEN);
    expect((await search(server, alice, agent.code)).status).toBe(200);
  });

  it("is claimed in front of the console by a passkey", async () => {
    const person = await createPerson(server, { roles: ["owner"], owner: alice.ownerId });
    const { path, name, ttl_seconds } = agent.wish;
    const holder_thumbprint = formatThumbprint(agent.signer.publicKey);
    const scope = parseScope(agent.wish.scope);
    const document = ticketDocument(alice.ownerId, { path, name, scope, ttl_seconds, holder_thumbprint });
    const draft = draftTicket(document, await keyidOf(server, person));
    const body = { code: agent.code, ticket: signByPasskey(draft, { person }) };
    const target = "/v1/claims/acceptance";
    expect((await postAsPerson(server, person, { target, body })).status).toBe(200);
    expect(verdict(await postAsPerson(server, person, { target, body }))).toEqual(UNKNOWN);
    const ticket = ticketIn(await collect(server, agent, agent.signer));
    expect((await enrolled(ticket)).status).toBe(200);
  });
});

describe("asking to be claimed", () => {
  it("costs work, and a further code of the same key makes the earlier void", async () => {
    const { signer } = agent;
    const free = await postClaim(server, agent.wish, { signer, bits: 0 });
    expect(verdict(free)).toEqual([429, "registration_costly"]);
    expect(Number(free.headers["trustwarden-work"])).toBeGreaterThan(15);
    const again = await postClaim(server, agent.wish, { signer, bits: 16 });
    expect(again.status).toBe(200);
    expect(verdict(await search(server, alice, agent.code))).toEqual(UNKNOWN);
    expect((await search(server, alice, String(jsonOf(again).code))).status).toBe(200);
  });

  it("refuses names and scopes that could not be", async () => {
    const { signer } = agent;
    const ask = async (changes: object) =>
      verdict(await postClaim(server, { ...agent.wish, ...changes }, { signer, bits: 16 }));
    expect(await ask({ name: "Upper" })).toEqual([400, "name_malformed"]);
    expect(await ask({ scope: ["read"] })).toEqual([400, "scope_malformed"]);
  });

  it("leaves neither code nor ticket's signature in the ledger", async () => {
    await accept(server, alice, { code: agent.code, ticket: claimTicket(alice, agent) });
    const events = await eventsOf(server, "ticket");
    const texts = await Promise.all(events.slice(0, 4).map((event) => payloadsOf(server, event)));
    const [claimed, asked] = texts.map(([record]) => record);
    expect(claimed).toMatchObject({ subject: alice.ownerId, details: { change: "claim" } });
    expect(asked).toMatchObject({ subject: agent.claim_id, details: { change: "ask" } });
    expect(JSON.stringify(texts)).not.toContain(agent.code);
    expect(JSON.stringify(texts)).not.toContain("signatures");
  });
});
