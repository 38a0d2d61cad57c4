/** An agent goes to another owner when both have signed, and never otherwise. */
import { transferAnswer } from "@trustwarden/core/api/transfer.ts";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  createOwner,
  enrolAgent,
  enrolWith,
  ownerRequest,
  parseAnswer,
  postEnrolment,
  serverIdOf,
  signedRequest,
  spawn,
  type TestInstance,
  type TestOwner,
  ticketOf,
} from "./support/actors.ts";
import { SoftwareAuthenticator } from "./support/authenticator.ts";
import { codeOf, jsonOf, type RawAnswer, send, sendAdmin } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import { depositTicket, signTicket } from "./support/passkey-documents.ts";
import { CONSOLE, createLink, createPerson, originOf, type TestPerson, useLink } from "./support/people.ts";
import { eventsOf, expectRefused } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import {
  accepting,
  nextSecond,
  offering,
  postAsOwner,
  postAsPerson,
  signTransfer,
  signTransferByPasskey,
  transferDocument,
} from "./support/transfers.ts";

const QUOTA = 4;
let server: TestServer;
let alice: TestOwner;
let bob: TestOwner;
let names = 0;

beforeAll(async () => {
  server = await startTestServer({ ...CONSOLE, quotas: { agentsPerOwner: QUOTA } });
});
beforeEach(async () => {
  // Owners of their own for each test, since their quota is small.
  names += 1;
  alice = await createOwner(server, `alice-${names}`);
  bob = await createOwner(server, `bob-${names}`);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const between = () => ({ from: alice.ownerId, to: bob.ownerId });
const enrol = (owner: TestOwner, name: string) => enrolAgent(server, owner, { name: `${name}-${names}` });

async function readLedger(agent: TestInstance): Promise<number> {
  const request = { target: "/v1/events", action: "read:ledger", aud: await serverIdOf(server) };
  return (await send(server.url, signedRequest(agent, request), agent.tls)).status;
}

const refused = (answer: RawAnswer) => [answer.status, codeOf(answer)];

/** The whole of it between two files' keys. */
async function handOver(agent: TestInstance): Promise<RawAnswer> {
  const transfer = transferDocument(agent, between());
  const offer = signTransfer(transfer, alice);
  expect((await postAsOwner(server, alice, offering(offer))).status).toBe(200);
  return postAsOwner(server, bob, accepting(offer, signTransfer(transfer, bob)));
}

describe("an offer that waits", () => {
  const listed = async (owner?: TestOwner) => {
    const target = "/v1/offers";
    if (owner === undefined) return jsonOf(await sendAdmin(server.adminSocket, { target })).offers;
    const aud = await serverIdOf(server);
    return jsonOf(await send(server.url, ownerRequest(owner, { method: "GET", target, aud }))).offers;
  };

  it("is listed for who gave it, for whom it is, and for the operator, until it is taken or withdrawn", async () => {
    const carol = await createOwner(server, `carol-${names}`);
    const [first, second] = [await enrol(alice, "offered"), await enrol(alice, "withdrawn")];
    const documents = [first, second].map((agent) => transferDocument(agent, between()));
    const offers = documents.map((document) => signTransfer(document, alice));
    for (const offer of offers) expect((await postAsOwner(server, alice, offering(offer))).status).toBe(200);
    const views = documents.map(({ agent, exp }) => ({
      ...{ kind: "transfer", agent_id: agent, from: alice.ownerId, to: bob.ownerId, expires_at: exp },
    }));
    for (const owner of [alice, bob, undefined])
      expect(await listed(owner)).toEqual(expect.arrayContaining(views));
    expect(await listed(carol)).toEqual([]);
    const stop = JSON.stringify({ target: { kind: "agent", id: second.answer.agent_id } });
    await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body: stop });
    const [[taken], [offer]] = [documents, offers];
    if (taken === undefined || offer === undefined) throw new Error("two were offered");
    expect(await listed(bob)).toEqual(views.slice(0, 1));
    expect((await postAsOwner(server, bob, accepting(offer, signTransfer(taken, bob)))).status).toBe(200);
    expect(await listed(bob)).toEqual([]);
  });

  it("is an invitation too, which an owner is not shown", async () => {
    await createLink(server, { roles: ["auditor"] });
    const invited = { kind: "invitation", roles: ["auditor"], created_by: "operator" };
    expect(await listed()).toContainEqual(expect.objectContaining(invited));
    expect(await listed(alice)).toEqual([]);
  });
});

describe("a transfer that both owners signed", () => {
  it("gives the agent with all below it, and ends every instance of before", async () => {
    const root = await enrol(alice, "keeper");
    const child = await spawn(server, root, { name: `helper-${names}` });
    expect([await readLedger(root), await readLedger(child)]).toEqual([200, 200]);
    const answer = parseAnswer(transferAnswer, await handOver(root));
    expect(answer).toMatchObject({ owner_id: bob.ownerId, agents: 2, instances: 2, recorded: true });
    expect([await readLedger(root), await readLedger(child)]).toEqual([401, 401]);
    const shown = jsonOf(
      await sendAdmin(server.adminSocket, { target: `/v1/agents/${root.answer.agent_id}` }),
    );
    expect(shown.owner_id).toBe(bob.ownerId);
  });

  it("leaves the name to the receiver, by tickets that are signed later", async () => {
    const root = await enrol(alice, "named");
    const early = ticketOf(bob, { name: `named-${names}` });
    await handOver(root);
    await expectRefused(server, () => postEnrolment(server, early, createTestSigner()), "identity_revoked");
    await nextSecond();
    const again = await enrol(bob, "named");
    expect(again.answer.agent_id).toBe(root.answer.agent_id);
    const taken = await postEnrolment(
      server,
      ticketOf(alice, { name: `named-${names}` }),
      createTestSigner(),
    );
    expect(refused(taken)).toEqual([409, "name_taken"]);
  });

  it("is told to both owners and to the ledger, offer and acceptance", async () => {
    const root = await enrol(alice, "told");
    await handOver(root);
    const events = (await eventsOf(server, "transfer")).filter(
      ({ agent_id: id }) => id === root.answer.agent_id,
    );
    expect(events.map(({ owner_id: owner }) => owner)).toEqual([alice.ownerId, alice.ownerId]);
    for (const owner of [alice, bob]) {
      const asked = { target: "/v1/events?kind=transfer", aud: await serverIdOf(server) };
      const page = jsonOf(await send(server.url, ownerRequest(owner, asked)));
      expect(page.events).toHaveLength(2);
    }
  });

  it("holds for the passkeys of two people, who sign the same bytes", async () => {
    const [ada, eve] = [
      await createPerson(server, { roles: ["owner"] }),
      await createPerson(server, { roles: ["owner"] }),
    ];
    const root = await agentOf(ada, `of-ada-${names}`);
    const transfer = transferDocument(root, { from: ada.ownerId ?? "", to: eve.ownerId ?? "" });
    const offer = await signTransferByPasskey(server, transfer, { person: ada });
    expect((await postAsPerson(server, ada, offering(offer))).status).toBe(200);
    const acceptance = await signTransferByPasskey(server, transfer, { person: eve });
    const answer = await postAsPerson(server, eve, accepting(offer, acceptance));
    expect([answer.status, jsonOf(answer).owner_id]).toEqual([200, eve.ownerId]);
    await nextSecond();
    expect((await agentOf(eve, `of-ada-${names}`)).answer.agent_id).toBe(root.answer.agent_id);
  });

  it("counts no offer of a passkey that was taken away since", async () => {
    const ada = await createPerson(server, { roles: ["owner"] });
    const root = await agentOf(ada, `lost-${names}`);
    const transfer = transferDocument(root, { from: ada.ownerId ?? "", to: bob.ownerId });
    const offer = await signTransferByPasskey(server, transfer, { person: ada });
    expect((await postAsPerson(server, ada, offering(offer))).status).toBe(200);
    const authenticator = new SoftwareAuthenticator({ origin: originOf(server) });
    await useLink(server, { link: await createLink(server, { person: ada.personId }), authenticator });
    const answer = await postAsOwner(server, bob, accepting(offer, signTransfer(transfer, bob)));
    expect(refused(answer)).toEqual([401, "principal_refused"]);
    expect(await readLedger(root)).toBe(200);
  });
});

async function agentOf(person: TestPerson, name: string): Promise<TestInstance> {
  const ticket = await signTicket(server, { person }, { name });
  expect((await depositTicket(server, person, ticket)).status).toBe(200);
  return enrolWith(server, ticket);
}

describe("what is no transfer", () => {
  /** Sends an acceptance that must be refused, and says that the agent lives on under its owner. */
  async function expectKept(
    root: TestInstance,
    answer: RawAnswer,
    [status, code]: readonly [number, string],
  ): Promise<void> {
    expect(refused(answer)).toEqual([status, code]);
    expect(await readLedger(root)).toBe(200);
    const shown = jsonOf(
      await sendAdmin(server.adminSocket, { target: `/v1/agents/${root.answer.agent_id}` }),
    );
    expect(shown.owner_id).toBe(alice.ownerId);
  }

  it("is one that the giver alone signed", async () => {
    const root = await enrol(alice, "alone");
    const transfer = transferDocument(root, between());
    const offer = signTransfer(transfer, alice);
    await postAsOwner(server, alice, offering(offer));
    await expectKept(root, await postAsOwner(server, bob, accepting(offer, offer)), [
      401,
      "principal_refused",
    ]);
    const asGiver = await postAsOwner(server, alice, accepting(offer, signTransfer(transfer, bob)));
    await expectKept(root, asGiver, [400, "transfer_invalid"]);
  });

  it("is one that the receiver alone signed, or offered", async () => {
    const root = await enrol(alice, "grabbed");
    const transfer = transferDocument(root, between());
    const own = signTransfer(transfer, bob);
    await expectKept(root, await postAsOwner(server, bob, offering(own)), [400, "transfer_invalid"]);
    await expectKept(root, await postAsOwner(server, bob, accepting(own, own)), [401, "principal_refused"]);
    const offer = signTransfer(transfer, alice);
    const unasked = await postAsOwner(server, bob, accepting(offer, own));
    await expectKept(root, unasked, [403, "transfer_not_offered"]);
  });

  it("is one about other bytes than were offered", async () => {
    const root = await enrol(alice, "bent");
    const transfer = transferDocument(root, between());
    const offer = signTransfer(transfer, alice);
    await postAsOwner(server, alice, offering(offer));
    const other = signTransfer({ ...transfer, exp: transfer.exp + 1 }, bob);
    await expectKept(root, await postAsOwner(server, bob, accepting(offer, other)), [
      400,
      "transfer_invalid",
    ]);
  });

  it("is one by another signature of the giver's than came in: what nobody looked at does not reach the ledger", async () => {
    const root = await enrol(alice, "respelt");
    const transfer = transferDocument(root, between());
    await postAsOwner(server, alice, offering(signTransfer(transfer, alice)));
    const other = accepting(signTransfer(transfer, alice), signTransfer(transfer, bob));
    await expectKept(root, await postAsOwner(server, bob, other), [403, "transfer_not_offered"]);
  });

  it("is one of somebody else's agent", async () => {
    const [root, other] = [await enrol(alice, "mine"), await enrol(bob, "theirs")];
    const transfer = transferDocument(other, between());
    const answer = await postAsOwner(server, alice, offering(signTransfer(transfer, alice)));
    await expectKept(root, answer, [409, "transfer_stale"]);
  });

  it("is one of an agent that another agent made", async () => {
    const root = await enrol(alice, "parent");
    const child = await spawn(server, root, { name: `below-${names}` });
    const transfer = transferDocument(child, between());
    const answer = await postAsOwner(server, alice, offering(signTransfer(transfer, alice)));
    await expectKept(root, answer, [409, "transfer_below"]);
  });

  it("is one that has expired, lasts too long, or goes to its giver", async () => {
    const root = await enrol(alice, "late");
    const now = Math.floor(Date.now() / 1000);
    const expired = transferDocument(root, between(), { iat: now - 60, exp: now - 1 });
    const answer = await postAsOwner(server, alice, offering(signTransfer(expired, alice)));
    await expectKept(root, answer, [403, "transfer_expired"]);
    const transfer = transferDocument(root, between());
    expect(() => signTransfer({ ...transfer, exp: transfer.iat + 3601 }, alice)).toThrow("transfer_invalid");
    expect(() => signTransfer({ ...transfer, exp: transfer.iat + 3600 }, alice)).not.toThrow();
    expect(() => signTransfer({ ...transfer, to: alice.ownerId }, alice)).toThrow("transfer_invalid");
  });

  it("is one that was used, or offered twice", async () => {
    const root = await enrol(alice, "twice");
    const transfer = transferDocument(root, between());
    const offer = signTransfer(transfer, alice);
    await postAsOwner(server, alice, offering(offer));
    const again = await postAsOwner(server, alice, offering(signTransfer(transfer, alice)));
    await expectKept(root, again, [409, "transfer_used"]);
    const taking = accepting(offer, signTransfer(transfer, bob));
    expect((await postAsOwner(server, bob, taking)).status).toBe(200);
    expect(refused(await postAsOwner(server, bob, taking))).toEqual([409, "transfer_used"]);
  });

  it("is one of an agent that was stopped after the offer", async () => {
    const root = await enrol(alice, "stopped");
    await nextSecond();
    const transfer = transferDocument(root, between());
    const offer = signTransfer(transfer, alice);
    await postAsOwner(server, alice, offering(offer));
    const target = { kind: "agent", id: root.answer.agent_id };
    await postAsOwner(server, alice, { target: "/v1/revocations", body: { target } });
    const answer = await postAsOwner(server, bob, accepting(offer, signTransfer(transfer, bob)));
    expect(refused(answer)).toEqual([409, "transfer_stale"]);
  });

  it("is one of an agent that was stopped after the offer and is back, whatever moment the offer says", async () => {
    const root = await enrol(alice, "back");
    await nextSecond();
    const iat = Math.floor(Date.now() / 1000) + 20;
    const transfer = transferDocument(root, between(), { iat, exp: iat + 600 });
    const offer = signTransfer(transfer, alice);
    expect((await postAsOwner(server, alice, offering(offer))).status).toBe(200);
    const target = { kind: "agent", id: root.answer.agent_id };
    await postAsOwner(server, alice, { target: "/v1/revocations", body: { target } });
    await nextSecond();
    expect((await enrol(alice, "back")).answer.agent_id).toBe(root.answer.agent_id);
    const answer = await postAsOwner(server, bob, accepting(offer, signTransfer(transfer, bob)));
    expect(refused(answer)).toEqual([409, "transfer_stale"]);
  });

  it("is one for which the receiver has no room: the whole subtree counts, in the same transaction", async () => {
    for (let made = 0; made < QUOTA - 1; made += 1) await enrol(bob, `full-${made}`);
    const root = await enrol(alice, "large");
    await spawn(server, root, { name: `much-${names}` });
    await expectKept(root, await handOver(root), [429, "quota_exceeded"]);
    const small = await enrol(alice, "small");
    expect((await handOver(small)).status).toBe(200);
  });
});
