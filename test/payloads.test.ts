/** Prompts and answers of models: kept where the operator's settings say so, opened with an event, erased with an event. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openEvidenceBundle } from "@trustwarden/core/agentledger/evidence-bundle.ts";
import { eventPage } from "@trustwarden/core/api/ledger.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { parseEnvelope } from "@trustwarden/core/dsse.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifyEvidence } from "../sdk/verify-evidence.ts";
import { createOwner, enrolAgent, type TestInstance } from "./support/actors.ts";
import { askTravelling, readTrust } from "./support/evidence.ts";
import { codeOf, jsonOf, sendAdmin } from "./support/http.ts";
import { type FakeModel, startFakeModel } from "./support/model/fake-model.ts";
import { callModel, chatOf, FAKE_PRICES, registerModel } from "./support/model/gateway-llm.ts";
import { committedOf, openPayload, readPayload } from "./support/payloads.ts";
import { eventsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const PATH = "/v1/chat/completions";
const PROMPT = "my address is 7 Elm Street #words=3";
const SETTINGS = { prices: FAKE_PRICES, disclose: "full" } as const;

let server: TestServer;
let model: FakeModel;
let agent: TestInstance;

beforeAll(async () => {
  server = await startTestServer({ gateway: { port: 0 } });
  model = await startFakeModel();
  agent = await enrolAgent(server, await createOwner(server), { name: "chatter", scope: ["infer:llm"] });
  await registerModel(server, model, "openai");
  await registerModel(server, model, "openai", { name: "kept", settings: SETTINGS });
});
afterAll(async () => {
  await server.close();
  await model.close();
  server.home.remove();
});

/** Makes a call through an upstream, and returns its event and what the caller got. */
async function ask(name: string, more: object = {}, prompt = PROMPT) {
  const settings = name === "kept" ? SETTINGS : { prices: FAKE_PRICES };
  const access = { server, model, kind: "openai", name, settings } as const;
  const answer = await callModel(access, agent, { path: PATH, body: chatOf(prompt, more) });
  expect(answer.status).toBe(200);
  // What is kept is on the disk when the outcome is recorded, a moment after the caller has its answer.
  const latest = async () => (await eventsOf(server, "action"))[0];
  await expect.poll(async () => (await latest())?.outcome, { timeout: 25_000 }).toBe("success");
  return { eventId: (await latest())?.event_id ?? "", text: answer.text };
}

const read = (eventId: string) => readPayload(server, eventId);
const erase = (eventId: string) =>
  sendAdmin(server.adminSocket, {
    method: "POST",
    target: `/v1/payloads/${eventId}/erasure`,
    body: JSON.stringify({ reason: "GDPR article 17" }),
  });
const directory = () => join(server.home.dataDir, "payloads");

describe("prompts and answers", () => {
  it("are not kept unless the upstream's settings say so", async () => {
    const { eventId } = await ask("openai");
    expect(codeOf(await read(eventId))).toBe("not_found");
  });

  it.each([{}, { stream: true }])("open what the ledger is committed to: %j", async (more) => {
    const { eventId, text } = await ask("kept", more);
    const kept = await openPayload(server, eventId);
    expect(kept.request).toContain("7 Elm Street");
    expect([kept.answer, kept.isCommitted]).toEqual([text, true]);
    expect((await eventsOf(server, "read")).map(({ resource }) => resource)).toContain(
      `/v1/payloads/${eventId}`,
    );
  });

  it("open when they are long, too", async () => {
    const prompt = `${"word ".repeat(20_000)}${PROMPT}`;
    const { eventId, text } = await ask("kept", {}, prompt);
    const kept = await openPayload(server, eventId);
    expect(kept.request).toContain(prompt);
    expect(kept.answer).toBe(text);
  });

  it("lie in no file in the clear", async () => {
    await ask("kept");
    for (const name of readdirSync(directory()))
      expect(readFileSync(join(directory(), name), "latin1")).not.toContain("Elm Street");
  });

  it("are opened after a rotation of the key-encryption key too, and the old key is gone", async () => {
    const { eventId } = await ask("kept");
    const rotated = await sendAdmin(server.adminSocket, {
      method: "POST",
      target: "/v1/secret-keys/rotation",
      body: JSON.stringify({ begin: true, reason: "yearly" }),
    });
    expect(jsonOf(rotated)).toMatchObject({ remaining: 0, keys: [{ versions: 1, is_here: true }] });
    expect((await read(eventId)).status).toBe(200);
    await server.close();
    server = await startTestServer({ gateway: { port: 0 } }, server.home);
    expect((await read(eventId)).status).toBe(200);
  });

  it("that a crash left half written are gone after the next start, since no erasure would find them", async () => {
    await ask("kept");
    const leftover = "018f0000-0000-7000-8000-000000000001.payload.tmp-Ab3xYz";
    mkdirSync(join(directory(), leftover));
    writeFileSync(join(directory(), leftover, "new"), "a wrapped key and what it opens");
    const before = readdirSync(directory());
    await server.close();
    server = await startTestServer({ gateway: { port: 0 } }, server.home);
    expect(readdirSync(directory())).toEqual(before.filter((name) => name !== leftover));
  });

  it.each(["..%2Fstate.db", "key.json", "x"])(
    "are read by the id of an event and nothing else: %s",
    async (name) => {
      expect((await read(name)).status).toBe(400);
    },
  );

  it("are erased with an event that does not say what they were, and the ledger stays as it was", async () => {
    const { eventId } = await ask("kept");
    const before = await committedOf(server, eventId);
    expect((await erase(eventId)).status).toBe(200);
    expect(codeOf(await read(eventId))).toBe("not_found");
    expect(codeOf(await erase(eventId))).toBe("not_found");
    expect(readdirSync(directory())).not.toContain(`${eventId}.payload`);
    expect(await committedOf(server, eventId)).toEqual(before);
    const [event] = await eventsOf(server, "admin");
    expect(JSON.stringify(event)).toContain(`payload:${eventId}`);
  });
});

describe("an evidence bundle", () => {
  const make = async (query: string) => {
    const answer = await sendAdmin(server.adminSocket, { target: `/v1/evidence?${query}` });
    expect(answer.status).toBe(200);
    return answer.bytes;
  };

  it("shows what was asked and answered as the log commits to it, when the operator wants it to", async () => {
    const { eventId, text } = await ask("kept");
    const { vkey, bundleText: bundle } = await readTrust(server);
    const trust = { log: { vkey }, roots: { bundle } };
    const payloadsOf = (bytes: Uint8Array) => verifyEvidence(bytes, trust).payloads;
    expect(payloadsOf(await make(`event=${eventId}`)).size).toBe(0);
    const shown = await make(`event=${eventId}&payloads=true`);
    const state = payloadsOf(shown).get(eventId);
    const payload = state?.kind === "disclosed" ? state.payload : undefined;
    expect(parseUtf8(payload?.request ?? new Uint8Array())).toContain("7 Elm Street");
    expect(parseUtf8(payload?.answer ?? new Uint8Array())).toBe(text);
    const said = askTravelling(shown, bundle, ["--vkey", vkey]);
    expect(said).toMatchObject({
      status: 0,
      stdout: expect.stringContaining(`payload: POST /kept${PATH}, request of`),
    });
    expect((await erase(eventId)).status).toBe(200);
    const erased = await make(`event=${eventId}&payloads=true`);
    expect(payloadsOf(erased).get(eventId)).toMatchObject({ kind: "erased" });
    expect(askTravelling(erased, bundle, ["--vkey", vkey]).stdout).toMatch(
      / payload: erased \(entry \d+\)\n/,
    );
  });

  it("says of what was never kept that it is withheld, and that it was read is recorded as such", async () => {
    const { eventId } = await ask("openai");
    const { unverifiedManifest: manifest } = openEvidenceBundle(await make(`event=${eventId}&payloads=true`));
    expect(manifest.withheld).toContain(
      "requests and answers of 1 events: not kept here, or not committed to",
    );
    const { text } = await sendAdmin(server.adminSocket, {
      target: "/v1/events?kind=read&limit=5&proofs=true",
    });
    const entries = eventPage.parse(JSON.parse(text)).proof?.records.map(({ entry }) => entry) ?? [];
    expect(entries.map((entry) => parseJsonObject(parseUtf8(parseEnvelope(entry).payload)))).toContainEqual(
      expect.objectContaining({
        subject: "/v1/evidence",
        details: expect.objectContaining({ action: "read:payload" }),
      }),
    );
  });
});
