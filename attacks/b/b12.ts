/** B12: attestors that are made to call where they must not. */
import type { JsonObject } from "@trustwarden/core/json.ts";
import { TestKey } from "../../server/attest/issuer.test.support.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { AUDIENCE, enrolByEvidence, registerEntry } from "../support/attested.ts";
import { CANARY_TEXT, type Canary, openCanary, openHttp } from "../support/canary.ts";
import { expectRefusal } from "../support/client.ts";

const UNAVAILABLE = { status: 503, code: "attestation_unavailable" } as const;
const key = new TestKey("issuer-1", "ES256");
const ISSUER = "https://issuer.test";

/** What the attacks of one world aim at; made with the world's configuration. */
let canary: Canary | undefined;
let honest = "";

type Provider = readonly [name: string, keys: object];

/** Where each provider's keys are said to be. */
async function providers(target: Canary): Promise<readonly Provider[]> {
  const leads = await openHttp((request, response) => {
    const canaryUrl = `http://127.0.0.1:${target.port}/latest/meta-data/iam/security-credentials/`;
    if (request.url === "/redirect") response.writeHead(302, { location: canaryUrl }).end(CANARY_TEXT);
    else if (request.url === "/elsewhere")
      response.end(JSON.stringify({ issuer: ISSUER, jwks_uri: canaryUrl }));
    else if (request.url === "/text") response.end(CANARY_TEXT);
    else response.writeHead(500).end(CANARY_TEXT);
  });
  const forbidden = [
    `http://127.0.0.1:${target.port}/`,
    `https://127.0.0.1:${target.port}/`,
    `https://localhost:${target.port}/`,
    `https://[::ffff:127.0.0.1]:${target.port}/`,
    `https://2130706433:${target.port}/`,
    `https://0x7f.1:${target.port}/`,
    `https://0.0.0.0:${target.port}/`,
    "http://169.254.169.254/latest/meta-data/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[fd00:ec2::254]/latest/meta-data/",
  ];
  return [
    ...forbidden.map((url, index): Provider => [`forbidden-${index}`, { jwks: { url } }]),
    // What the configuration allows of private addresses never includes the metadata service.
    ["metadata", { jwks: { url: "https://169.254.169.254/", allowPrivate: true } }],
    // A name that a resolver moves to this machine; http is for literal addresses only.
    ["name", { jwks: { url: `http://localhost:${target.port}/`, allowPrivate: true } }],
    ["redirect", { jwks: { url: `${leads}/redirect`, allowPrivate: true } }],
    ["elsewhere", { discovery: { url: `${leads}/elsewhere`, allowPrivate: true } }],
    ["text", { jwks: { url: `${leads}/text`, allowPrivate: true } }],
    ["failing", { jwks: { url: `${leads}/failing`, allowPrivate: true } }],
  ];
}

let names: readonly string[] = [];

async function configure(): Promise<object> {
  const target = await openCanary();
  canary = target;
  honest = await openHttp((_request, response) => response.end(JSON.stringify({ keys: [key.jwk] })));
  const hostile = await providers(target);
  names = hostile.map(([name]) => name);
  const all: readonly Provider[] = [...hostile, ["honest", { jwks: { url: honest, allowPrivate: true } }]];
  return {
    attestation: {
      oidc: all.map(([name, keys]) => ({ name, issuer: ISSUER, keys, algorithms: ["ES256"] })),
    },
  };
}

function evidence(provider: string, header: JsonObject = {}) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: ISSUER, aud: AUDIENCE, sub: "workload", iat: now, exp: now + 300 };
  return { type: "oidc", provider, token: key.token(claims, header) };
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B12",
  title:
    "makes an attestor call this machine, the metadata service, or wherever a redirect or a document points",
  expected: "no call leaves, and nothing of an answer comes back",
  weakening: "calls-to-any-address",
  world: { configure },
  prepare: async (world) => {
    await registerEntry(world, ["oidc:honest:sub:workload"]);
    return { from: world.source() };
  },
  control: async (world) => {
    const answer = await enrolByEvidence(world, evidence("honest"));
    expectSame(answer.status, 200, "a token of an issuer whose keys can be fetched enrols");
  },
  attack: async (world, { from }) => {
    expect(names.length > 10, "there are places to call");
    for (const name of names) {
      const answer = await enrolByEvidence(world, evidence(name), { from });
      expect(!answer.text.includes("CANARY"), `nothing of the answer is told for ${name}`);
      expectRefusal(answer, UNAVAILABLE, `keys at ${name}`);
    }
    // Evidence that says itself where its key is.
    for (const header of [
      { jku: `http://127.0.0.1:${canary?.port}/` },
      { x5u: `http://127.0.0.1:${canary?.port}/` },
      { kid: `http://127.0.0.1:${canary?.port}/` },
    ]) {
      const answer = await enrolByEvidence(world, evidence("honest", header), { from });
      expectRefusal(
        answer,
        { status: 401, code: "principal_refused" },
        `a token with ${Object.keys(header)}`,
      );
    }
    expectSame(canary?.connections(), 0, "connections to the canary");
    expect(!world.outputs().join("\n").includes("CANARY"), "nothing of an answer is logged");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "issue" }, 0);
    for (const event of await ledger.events()) {
      const payloads = await ledger.payloads(event.event_id);
      expect(!JSON.stringify(payloads).includes("CANARY"), "nothing of an answer is recorded");
    }
  },
});
