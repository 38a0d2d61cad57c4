/** D16: secrets in logs and records. */
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { copyLiveDirectory } from "../../examples/quickstart/copy-live-directory.ts";
import { searchDirectory } from "../../examples/quickstart/thief-loot.ts";
import type { RawRequest } from "../../test/support/http.ts";
import { sendOver } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call, openAgent, sendRaw } from "../support/client.ts";
import { visit } from "../support/visits.ts";
import type { World } from "../support/world.ts";

const ERRORS = 500;

/** Requests that go wrong in different ways, each with the secret in another place. */
function mistakes(secret: string, pem: string): readonly RawRequest[] {
  const post = (target: string, body: string, headers = {}): RawRequest => ({
    method: "POST",
    target,
    body,
    headers,
  });
  return [
    { target: "/v1/events", headers: { authorization: `Bearer ${secret}` } },
    { target: "/v1/events", headers: { "trustwarden-intent": secret, "trustwarden-salt": secret } },
    { target: "/v1/events", headers: { "trustwarden-owner": Buffer.from(secret).toString("base64url") } },
    { target: "/v1/events", headers: { cookie: `session=${secret}`, "x-api-key": secret } },
    { target: `/v1/events?token=${secret}` },
    { target: `/v1/agents/${secret}` },
    { target: `/${secret}` },
    { method: "DELETE", target: `/v1/agents/${secret}` },
    post("/v1/instances", secret),
    post("/v1/instances", `{"enrolment":"${secret}`),
    post("/v1/instances", JSON.stringify({ [secret]: 1 })),
    post("/v1/instances", JSON.stringify({ enrolment: secret, possession: secret, spki: secret })),
    post("/v1/instances", JSON.stringify({ enrolment: pem, possession: pem, spki: secret })),
    post("/v1/instances", JSON.stringify({ enrolment: { secret } })),
    post("/v1/decisions", JSON.stringify({ intent: secret, svid_chain: [secret] })),
    post("/v1/outcomes", JSON.stringify({ outcome: secret })),
    post("/v1/revocations", JSON.stringify({ target: { kind: secret, id: secret }, reason: secret })),
    post("/v1/narrowings", JSON.stringify({ instance_id: secret, scope: [secret] })),
    post("/v1/svids/renew", JSON.stringify({ possession: pem, spki: secret })),
    post("/v1/jwt-svids", JSON.stringify({ audience: secret, password: secret })),
    post("/v1/owners", JSON.stringify({ name: "x", spki: pem })),
    post("/v1/instances", secret, { "content-type": "text/plain" }),
    post("/v1/instances", "{}", { "content-encoding": secret }),
    { target: "/v1/events", headers: { host: `${secret}.evil.test` } },
    { target: "/v1/events", headers: { origin: `https://${secret}.evil.test` } },
  ];
}

/** Everything in the data directory, decoded as deep as a thief decodes it. */
function searchData(world: World): ReadonlySet<string> {
  const copy = mkdtempSync(join(tmpdir(), "tw-search-"));
  try {
    copyLiveDirectory(world.home.dataDir, copy);
    return searchDirectory(copy).strings;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "D16",
  title: `forces ${ERRORS} different errors with planted secrets, and then searches logs, ledger, state and answers for them`,
  expected: "no secret is found anywhere, although the server logs everything that it can",
  weakening: "messages-in-the-log",
  world: { env: { TRUSTWARDEN_LOG_LEVEL: "debug" } },
  prepare: async (world) => {
    await world.finance();
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    return {
      agent: await world.enrol(["read:transactions"]),
      pem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
      secrets: Array.from({ length: ERRORS }, () => `canary-${randomBytes(12).toString("hex")}`),
      from: world.source(),
    };
  },
  control: async (world, { agent }) => {
    expectSame((await visit(world, { agent })).status, 200, "an honest visit");
  },
  attack: async (world, { agent, pem, secrets, from }) => {
    const anonymous = openAgent({ from }, { maxSockets: 4 });
    const known = openAgent({ from, tls: agent.tls }, { maxSockets: 4 });
    const answers: string[] = [];
    for (const [index, secret] of secrets.entries()) {
      const requests = mistakes(secret, pem);
      const request = requests[index % requests.length] ?? { target: "/" };
      const { status, text } = await sendOver(world.server.url, request, index % 2 === 0 ? anonymous : known);
      expect(
        status >= 400,
        `the mistake ${JSON.stringify(request).slice(0, 200)} is refused, and not ${status}`,
      );
      expect(
        status < 500,
        `the mistake ${JSON.stringify(request).slice(0, 200)} is no fault inside: ${status}`,
      );
      answers.push(text);
    }
    for (const connections of [anonymous, known]) connections.destroy();
    answers.push(await sendRaw(world.server.url, `GET /${secrets[0]} HTTP/9.9\r\n\r\n`, { from }));
    const finance = await world.finance();
    for (const secret of secrets.slice(0, 20)) {
      const { text } = await visit(world, {
        agent,
        headers: { "trustwarden-intent": secret, authorization: secret },
      });
      answers.push(text, (await call(finance.url, { target: `/transactions/${secret}` })).text);
    }
    const key = pem.split("\n").slice(1, 3);
    const places: Readonly<Record<string, string>> = {
      "the answers": answers.join("\n"),
      "the logs": world.outputs().join("\n"),
      "the data directory": [...searchData(world)].join("\n"),
    };
    for (const [place, text] of Object.entries(places)) {
      const found = [...secrets, ...key].filter((secret) => text.includes(secret));
      expectSame(found.slice(0, 3), [], `secrets in ${place}`);
    }
    expect(
      (places["the logs"] ?? "").includes("request refused"),
      "the logs were searched while they were full",
    );
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse" }, { atLeast: 30 });
  },
});
