/** What a passkey approved is worth nothing once the passkey is gone: a thief's yes ends with the theft. */
import { parseScope } from "@trustwarden/core/scope.ts";
import { afterAll, beforeAll, expect, it } from "vitest";
import { enrolWith } from "./support/actors.ts";
import { SoftwareAuthenticator } from "./support/authenticator.ts";
import { openEchoUpstream } from "./support/echo-upstream.ts";
import { answerByPasskey, callRows, registerRows } from "./support/evidence-passkeys.ts";
import { depositTicket, signTicket } from "./support/passkey-documents.ts";
import { CONSOLE, createLink, createPerson, originOf, useLink } from "./support/people.ts";
import { eventsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
let upstream: Awaited<ReturnType<typeof openEchoUpstream>>;

beforeAll(async () => {
  server = await startTestServer({ gateway: { port: 0 }, ...CONSOLE });
  upstream = await openEchoUpstream();
  await registerRows(server, upstream.origin);
});
afterAll(async () => {
  await server.close();
  upstream.close();
  server.home.remove();
});

it("an approval by a passkey that was taken away since is refused, and one by a passkey that is there is used", async () => {
  const person = await createPerson(server, { roles: ["owner"] });
  for (const [name, isRecovered] of [
    ["kept", false],
    ["taken-away", true],
  ] as const) {
    const ticket = await signTicket(server, { person }, { name, scope: parseScope(["delete:rows"]) });
    await depositTicket(server, person, ticket);
    const agent = await enrolWith(server, ticket);
    const asked = await callRows(server, agent, { seq: 1, prev: null });
    const id = String(asked.answer.headers["trustwarden-approval-request"]);
    expect((await answerByPasskey(server, id, { person })).status).toBe(200);
    if (isRecovered) {
      const authenticator = new SoftwareAuthenticator({ origin: originOf(server) });
      const link = await createLink(server, { person: person.personId });
      expect((await useLink(server, { link, authenticator })).status).toBe(200);
    }
    const order = { seq: 2, prev: asked.payloadSha256 };
    const { answer } = await callRows(server, agent, order, { "trustwarden-approval": id });
    const [event] = await eventsOf(server, "action");
    expect([name, answer.status === 200, event?.reasons.includes("approval_withdrawn")]).toEqual([
      name,
      !isRecovered,
      isRecovered,
    ]);
  }
});
