/** Agent cards signed with an agent's SVID, judged by the protocol's own SDK and the other way round. */
import { createPublicKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgentCard, canonicalizeAgentCard, verifyAgentCardSignature } from "@a2a-js/sdk";
import { encodeCardPayload } from "@trustwarden/core/a2a/card.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createOwner, enrolAgent, type TestInstance } from "../test/support/actors.ts";
import { sendAdmin } from "../test/support/http.ts";
import { startTestServer, type TestServer } from "../test/support/server.ts";
import { runWarden } from "./testing.ts";

const CARD = {
  name: "reporter",
  description: "",
  version: "1.2.0",
  supportedInterfaces: [
    { url: "https://agent.test/a2a", protocolBinding: "JSONRPC", protocolVersion: "1.0" },
  ],
  capabilities: {
    streaming: false,
    extensions: [{ uri: "https://x.test/ext", description: "", required: false, params: {} }],
  },
  securitySchemes: {},
  defaultInputModes: ["text/plain"],
  defaultOutputModes: [],
  skills: [{ id: "s", name: "é", description: "writes", tags: ["a"], examples: [] }],
};

let directory: string;
let server: TestServer;
let agent: TestInstance;
let leaf: X509Certificate;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "a2a-"));
  server = await startTestServer();
  agent = await enrolAgent(server, await createOwner(server), { scope: ["send:a2a"] });
  writeFileSync(join(directory, "svid.pem"), agent.tls.cert);
  writeFileSync(join(directory, "svid.key"), agent.tls.key, { mode: 0o600 });
  const roots = await sendAdmin(server.adminSocket, { target: "/v1/bundle.pem" });
  writeFileSync(join(directory, "roots.pem"), roots.text);
  leaf = new X509Certificate(agent.tls.cert);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
  rmSync(directory, { recursive: true, force: true });
});

function warden(...args: readonly string[]) {
  return runWarden(directory, ["a2a", "card", ...args], { TRUSTWARDEN_SVID_DIR: directory });
}

function write(name: string, value: unknown): string {
  const file = join(directory, name);
  writeFileSync(file, JSON.stringify(value));
  return file;
}

test("the bytes that are signed are those of the protocol's SDK", () => {
  expect(parseUtf8(encodeCardPayload(CARD))).toBe(canonicalizeAgentCard(AgentCard.fromJSON(CARD)));
});

test("a signed card verifies with the protocol's SDK and here, and not after a change", async () => {
  const { stdout } = await warden("sign", write("card.json", CARD));
  const signed = JSON.parse(stdout);
  const judge = verifyAgentCardSignature(async () =>
    createPublicKey(leaf.publicKey.export({ type: "spki", format: "pem" })),
  );
  await judge(AgentCard.fromJSON(signed));
  await expect(judge(AgentCard.fromJSON({ ...signed, name: "imposter" }))).rejects.toThrow();
  const verified = await warden("verify", write("signed.json", signed));
  expect(verified.stdout).toContain(agent.answer.spiffe_id);
  const changed = await warden("verify", write("changed.json", { ...signed, name: "imposter" }));
  expect([changed.exitCode, changed.stderr.includes("signature_invalid")]).toEqual([1, true]);
  const added = await warden("verify", write("added.json", { ...signed, admin: true }));
  expect([added.exitCode, added.stderr.includes("agent_card_malformed")]).toEqual([1, true]);
  const unsigned = await warden("verify", write("unsigned.json", CARD));
  expect([unsigned.exitCode, unsigned.stderr.includes("signature_invalid")]).toEqual([1, true]);
});

test("no requirement can be taken out of a signed card, and no way around one put in", async () => {
  const bearer = { schemes: { bearer: { list: ["send"] } } };
  const { stdout } = await warden(
    "sign",
    write("required.json", { ...CARD, securityRequirements: [bearer] }),
  );
  const signed = JSON.parse(stdout);
  const codeOf = async (card: object) => {
    const { exitCode, stderr } = await warden("verify", write("tried.json", card));
    return [exitCode, /agent_card_malformed|signature_invalid/.exec(stderr)?.[0]];
  };
  expect(await codeOf(signed)).toEqual([0, undefined]);
  const { securityRequirements: _, ...stripped } = signed;
  expect(await codeOf(stripped)).toEqual([1, "signature_invalid"]);
  for (const securityRequirements of [
    [bearer, {}],
    [bearer, { schemes: {} }],
    [bearer, null],
  ])
    expect(await codeOf({ ...signed, securityRequirements })).toEqual([1, "agent_card_malformed"]);

  // What the signed bytes would not hold is signed by nobody, and not believed from whoever did sign without it.
  const plain = JSON.parse((await warden("sign", write("plain.json", CARD))).stdout);
  for (const lost of [
    { securityRequirements: [{ schemes: { mtls: { list: [] } } }] },
    { securitySchemes: { mtls: { mtlsSecurityScheme: {} } } },
    { skills: [{ ...CARD.skills[0], securityRequirements: [{}] }] },
    { defaultOutputModes: [""] },
  ]) {
    const refused = await warden("sign", write("lost.json", { ...CARD, ...lost }));
    expect([refused.exitCode, refused.stderr.includes("agent_card_malformed")]).toEqual([1, true]);
    expect(await codeOf({ ...plain, ...lost })).toEqual([1, "agent_card_malformed"]);
  }
});
