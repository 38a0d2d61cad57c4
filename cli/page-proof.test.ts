/** A server that lies about an event of a page is found out on this side, whatever it says of its proofs. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { issueCosignature } from "@trustwarden/core/agentledger/cosignature.ts";
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import { shardFolder, shardNameOf } from "@trustwarden/core/agentledger/shard.ts";
import {
  ALGORITHM_COSIGNATURE,
  createNoteSigner,
  formatVkey,
  parseNote,
  parseVkey,
  rawEd25519Key,
} from "@trustwarden/core/agentledger/signed-note.ts";
import { parseTlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import { discovery, type EventPage, eventPage, turnAnswer } from "@trustwarden/core/api/ledger.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectRejection } from "../test/support/expect-code.ts";
import { sendAdmin } from "../test/support/http.ts";
import { startTestServer, type TestServer } from "../test/support/server.ts";
import { createClient } from "./client.ts";
import { createEventProver, formatPageProof } from "./evidence-session.ts";
import { exportLog } from "./log-directory.ts";
import { auditDirectory } from "./verify-directory.ts";

let server: TestServer;
let page: EventPage;

const client = createClient({
  send: async ({ method, target }) => {
    const { status, bytes } = await sendAdmin(server.adminSocket, { method, target });
    return { status, body: bytes };
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

// Last: from here on the ledger has another key.
test("events of after a change of the log's key are proven from its first key, and by no policy of another log", async () => {
  const { log_vkey: first } = await client.get("/.well-known/trustwarden", discovery);
  const turn = { method: "POST", target: "/v1/ledger/turns", body: JSON.stringify({ new_key: true }) };
  const { status, text } = await sendAdmin(server.adminSocket, turn);
  expect(status).toBe(200);
  await client.get("/v1/events?limit=1", eventPage);
  const later = await client.get("/v1/events?proofs=true&order=newest&limit=1", eventPage);
  const { origin, vkey } = turnAnswer.parse(JSON.parse(text));
  const under = (log: string) => parseTlogPolicy(`log ${log}\nquorum none\n`);
  for (const policy of [null, parseTlogPolicy("quorum none\n"), under(first)]) {
    const prover = await createEventProver(client, policy);
    expect(await prover.provePage(later)).toMatchObject({ origin, witnessed: { kind: "unchecked" } });
    expect((await prover.provePage(page)).origin).toBe(parseVkey(first).name);
  }
  const ofShard = await createEventProver(client, under(vkey));
  expect((await ofShard.provePage(later)).origin).toBe(origin);
  const directory = join(server.home.dataDir, "export");
  await exportLog(client, directory);
  const signer = createTestLogSigner(3);
  const witness = createNoteSigner({ name: "w.test/1", signer, algorithm: ALGORITHM_COSIGNATURE });
  const place = join(directory, shardFolder(shardNameOf(parseVkey(first).name, origin)));
  const note = readFileSync(join(place, "checkpoint"), "utf8");
  writeFileSync(
    join(place, "witnessed-checkpoint"),
    note + issueCosignature(parseNote(note).unverifiedText, witness, 1),
  );
  const witnessVkey = formatVkey("w.test/1", rawEd25519Key(signer.publicKey), ALGORITHM_COSIGNATURE);
  const policy = parseTlogPolicy(`witness one ${witnessVkey}\nquorum one\n`);
  const { witnessed, findings } = await auditDirectory({
    directory,
    vkey: first,
    olderCheckpoint: undefined,
    policy,
  });
  expect(findings.filter(({ severity }) => severity === "damage")).toEqual([]);
  expect(witnessed.kind).toBe("proven");
  const strangers = formatVkey(parseVkey(first).name, new Uint8Array(32).fill(9));
  for (const one of [page, later])
    await expectRejection(
      createEventProver(client, under(strangers)).then((prover) => prover.provePage(one)),
      "checkpoint_untrusted",
    );
});
