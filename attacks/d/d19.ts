/** D19: proofs of possession, shown again. */
import { randomUUID } from "node:crypto";
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { nonceOf, signedRequest, type TestInstance } from "../../test/support/actors.ts";
import type { RawAnswer, RawRequest } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { oauthErrorOf, postForm, proofFor, RESOURCE } from "../../test/support/oauth.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { call, expectRefusal, UNPROVEN } from "../support/client.ts";
import { callAsAgent } from "../support/visits.ts";
import type { World } from "../support/world.ts";

/** Older than any proof may be. */
const STALE_SECONDS = 120;

/** A token of the agent for whoever holds the key of a proof. */
function askToken(world: World, agent: TestInstance, dpop: string): Promise<RawAnswer> {
  const form = { grant_type: "client_credentials", client_id: agent.answer.spiffe_id, resource: RESOURCE };
  return postForm(world.server, "/oauth/token", { form, tls: agent.tls, headers: { dpop } });
}

/** The body of a renewal or of a WIT-SVID: a new key, proven for the SVID of its instance. */
async function proofOf(world: World, svidSha256: string): Promise<string> {
  const signer = createTestSigner();
  const nonce = await nonceOf(world.server);
  const possession = issuePossession({ nonce, enrolmentSha256: svidSha256 }, signer);
  return JSON.stringify({ possession, spki: encodeBase64url(encodeSpki(signer.publicKey)) });
}

const renewal = (body: string) =>
  ({ method: "POST", target: "/v1/svids/renew", action: "renew:svid", body }) as const;
const wit = (body: string) =>
  ({ method: "POST", target: "/v1/wit-svids", action: "issue:jwt-svid", body }) as const;

/** The same proof in its other spelling: an ECDSA signature has two. */
function respell(proof: string): string {
  const [head, body, signature = ""] = proof.split(".");
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const bytes = Buffer.from(signature, "base64url");
  const other = (order - BigInt(`0x${bytes.subarray(32).toString("hex")}`)).toString(16).padStart(64, "0");
  return [
    head,
    body,
    Buffer.concat([bytes.subarray(0, 32), Buffer.from(other, "hex")]).toString("base64url"),
  ].join(".");
}

/** DPoP proofs at the token endpoint: again, respelled, for another request, from another minute. */
async function replayDpop(world: World, agent: TestInstance): Promise<void> {
  const key = createTestSigner();
  const { dpop } = await proofFor(world.server, key);
  expectSame((await askToken(world, agent, dpop)).status, 200, "a proof, the first time");
  const now = Math.floor(Date.now() / 1000);
  const bent: Readonly<Record<string, string>> = {
    "the same proof": dpop,
    "the same proof, respelled": respell(dpop),
    "a proof for another method": (await proofFor(world.server, key, { method: "GET" })).dpop,
    "a proof for another URL": (
      await proofFor(world.server, key, { url: `${world.server.url}/oauth/revoke` })
    ).dpop,
    "a proof for another host": (await proofFor(world.server, key, { url: "https://evil.test/oauth/token" }))
      .dpop,
    "a stale proof": (await proofFor(world.server, key, { now: now - STALE_SECONDS })).dpop,
    "a proof from the future": (await proofFor(world.server, key, { now: now + STALE_SECONDS })).dpop,
  };
  for (const [what, proof] of Object.entries(bent)) {
    expectSame(oauthErrorOf(await askToken(world, agent, proof)), "400 invalid_dpop_proof", what);
  }
  const strange = await proofFor(world.server, key, { nonce: randomUUID(), jti: randomUUID() });
  expectSame(
    oauthErrorOf(await askToken(world, agent, strange.dpop)),
    "400 use_dpop_nonce",
    "a nonce of nobody",
  );
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "D19",
  title:
    "shows proofs of possession again: the same nonce, another method or URL, another SVID, respelled, stale",
  expected: "each proof is for one request, once, within its minute; nothing is issued for any other",
  weakening: "proofs-count-twice",
  world: { configure: () => ({ workloadApi: { witSvid: true } }) },
  mayChange: ["carriedOut"],
  prepare: async (world) => ({
    agent: await world.enrol(["read:transactions"]),
    other: await world.enrol(["read:transactions"]),
    aud: await world.serverId(),
  }),
  control: async (world, { agent }) => {
    const { dpop } = await proofFor(world.server, createTestSigner());
    expectSame((await askToken(world, agent, dpop)).status, 200, "a DPoP proof for the token endpoint");
    const own = await callAsAgent(world, agent, wit(await proofOf(world, agent.svidSha256)));
    expectSame(own.status, 200, "a proof of possession for a WIT-SVID");
  },
  attack: async (world, { agent, other, aud }) => {
    await replayDpop(world, agent);
    const once = await proofOf(world, agent.svidSha256);
    expectSame(
      (await callAsAgent(world, agent, wit(once))).status,
      200,
      "a proof of possession, the first time",
    );
    expectRefusal(await callAsAgent(world, agent, wit(once)), UNPROVEN, "the same proof of possession");
    expectRefusal(await callAsAgent(world, agent, renewal(once)), UNPROVEN, "the same proof, for an SVID");
    const others = await proofOf(world, other.svidSha256);
    expectRefusal(await callAsAgent(world, agent, wit(others)), UNPROVEN, "a proof for somebody else's SVID");
    const read = { target: "/v1/events", action: "read:ledger", aud };
    // By another one, from elsewhere: the ledger has room for a dozen refusals of one agent, or address, at once.
    const from = world.source();
    const { headers } = signedRequest(other, read);
    const send = (request: RawRequest) =>
      call(world.server.url, { ...request, headers: { ...headers } }, { tls: other.tls, from });
    expectRefusal(await send({ target: "/v1/events?limit=1" }), UNPROVEN, "an intent for another URL");
    expectRefusal(await send(wit(once)), UNPROVEN, "an intent for another method");
    expectSame((await send({ target: "/v1/events" })).status, 200, "the intent for its own request");
    expectRefusal(await send({ target: "/v1/events" }), UNPROVEN, "the same intent");
  },
  evidence: async (ledger, { agent }) => {
    const by = { principal: agent.answer.spiffe_id };
    await ledger.expect({ kind: "refuse", reason: "dpop_replayed" }, 2);
    await ledger.expect({ kind: "refuse", reason: "dpop_invalid" }, { atLeast: 5 });
    await ledger.expect({ kind: "refuse", reason: "nonce_invalid" }, 2);
    // All that was made of one intent stands under its id, and shows its first reason.
    await ledger.expect({ kind: "refuse", reason: "intent_mismatch" }, { atLeast: 1 });
    await ledger.expect({ kind: "token", ...by }, 1);
    await ledger.expect({ kind: "wit", ...by }, 1);
    await ledger.expect({ kind: "renew" }, 0);
  },
});
