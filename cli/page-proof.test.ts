/** A server that lies about an event of a page is found out on this side, whatever it says of its proofs. */
import { type EventPage, eventPage } from "@trustwarden/core/api/ledger.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectRejection } from "../test/support/expect-code.ts";
import { sendAdmin } from "../test/support/http.ts";
import { startTestServer, type TestServer } from "../test/support/server.ts";
import { createClient } from "./client.ts";
import { createEventProver, formatPageProof } from "./evidence-session.ts";

let server: TestServer;
let page: EventPage;

const client = createClient({
  send: async ({ method, target }) => {
    const { status, text } = await sendAdmin(server.adminSocket, { method, target });
    return { status, body: encodeUtf8(text) };
  },
  close: () => undefined,
});

beforeAll(async () => {
  server = await startTestServer();
  await client.get("/v1/events?limit=1", eventPage);
  page = await client.get("/v1/events?proofs=true&order=oldest", eventPage);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

describe("a page with proofs", () => {
  test("is proven as it is", async () => {
    const prover = await createEventProver(client, null);
    const proof = await prover.provePage(page);
    expect(proof).toMatchObject({ events: page.events.length, witnessed: { kind: "unchecked" } });
    expect(formatPageProof(proof)).toContain("that no other event matches is what the server says");
  });

  test("is refused when an event says what its records do not", async () => {
    const prover = await createEventProver(client, null);
    const [first, ...others] = page.events;
    if (first === undefined) throw new Error("there is an event");
    const altered = { ...page, events: [{ ...first, authorized_by: "operator:else" }, ...others] };
    await expectRejection(prover.provePage(altered), "ledger_index_mismatch");
  });

  test("is refused without its records, and with records of another place", async () => {
    const prover = await createEventProver(client, null);
    const { proof, ...bare } = page;
    await expectRejection(prover.provePage(bare), "proof_invalid");
    if (proof === undefined) throw new Error("there is a proof");
    const [first, ...others] = proof.records;
    if (first === undefined) throw new Error("there is a record");
    const moved = { ...first, entry: others[0]?.entry ?? "" };
    await expectRejection(
      prover.provePage({ ...page, proof: { ...proof, records: [moved, ...others] } }),
      "proof_invalid",
    );
  });
});
