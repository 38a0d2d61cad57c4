/** B18: renewal against revocation. */
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import { identityAnswer } from "@trustwarden/core/api/identity.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { instanceOf, nonceOf, signedRequest, type TestInstance } from "../../test/support/actors.ts";
import { type RawAnswer, sendOver } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { expectRefusal, openAgent, UNPROVEN } from "../support/client.ts";
import { callAsAgent, revoke } from "../support/visits.ts";
import type { World } from "../support/world.ts";

/** Renewals that race one revocation. */
const RENEWALS = 40;
/** 1,000 interleavings; `--full` plays the catalogue's 10,000. */
const ROUNDS = process.env.TW_ATTACK_FULL === undefined ? 25 : 250;
/** New SVIDs of a round that are tried afterwards. */
const TRIED = 2;

/** Everything that a renewal needs, made before the race. */
async function prepareRenewal(world: World, agent: TestInstance, aud: string) {
  const signer = createTestSigner();
  const nonce = await nonceOf(world.server);
  const possession = issuePossession({ nonce, enrolmentSha256: agent.svidSha256 }, signer);
  const body = JSON.stringify({ possession, spki: encodeBase64url(encodeSpki(signer.publicKey)) });
  const request = signedRequest(agent, {
    method: "POST",
    target: "/v1/svids/renew",
    body,
    action: "renew:svid",
    aud,
  });
  return { signer, request };
}

/** One agent renews many times while it is revoked. @returns the renewals that were granted before. */
async function race(world: World, aud: string): Promise<number> {
  const agent = await world.enrol(["read:transactions"]);
  const renewals: Awaited<ReturnType<typeof prepareRenewal>>[] = [];
  for (let made = 0; made < RENEWALS; made += 1) renewals.push(await prepareRenewal(world, agent, aud));
  const connections = openAgent({ tls: agent.tls }, { maxSockets: 8 });
  const at = Math.floor(Math.random() * RENEWALS);
  const sent: Promise<RawAnswer>[] = [];
  let revoked: Promise<RawAnswer> | undefined;
  for (const [index, { request }] of renewals.entries()) {
    if (index === at) revoked = revoke(world, "instance", agent.answer.instance_id);
    sent.push(sendOver(world.server.url, request, connections));
    if (index % 8 === 7) await Promise.race(sent.slice(-8));
  }
  expectSame((await revoked)?.status, 200, "the revocation");
  const granted = (await Promise.all(sent)).flatMap((answer, index) => {
    const signer = renewals[index]?.signer;
    return answer.status === 200 && signer
      ? [instanceOf(identityAnswer.parse(JSON.parse(answer.text)), signer)]
      : [];
  });
  connections.destroy();
  for (const later of [agent, ...granted.slice(-TRIED)]) await expectDead(world, later, aud);
  return granted.length;
}

/** After the acknowledgement no SVID of the instance is good for anything, a further renewal included. */
async function expectDead(world: World, instance: TestInstance, aud: string): Promise<void> {
  const read = await callAsAgent(world, instance, { target: "/v1/events", action: "read:ledger" });
  expectRefusal(read, UNPROVEN, "a revoked agent's SVID");
  const { request } = await prepareRenewal(world, instance, aud);
  const agent = openAgent({ tls: instance.tls });
  const answer = await sendOver(world.server.url, request, agent).finally(() => agent.destroy());
  expectRefusal(answer, UNPROVEN, "a renewal after the revocation");
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B18",
  title: `a revoked agent renews in the same millisecond (${(ROUNDS * RENEWALS).toLocaleString("en")} interleavings)`,
  expected: "no SVID is good after the revocation is acknowledged, and no renewal is recorded behind it",
  weakening: "renewal-of-the-revoked",
  world: {},
  mayChange: ["agents", "liveInstances", "epoch", "registry"],
  prepare: async (world) => ({
    agent: await world.enrol(["read:transactions"]),
    aud: await world.serverId(),
  }),
  control: async (world, { agent, aud }) => {
    const { request } = await prepareRenewal(world, agent, aud);
    const connections = openAgent({ tls: agent.tls });
    const answer = await sendOver(world.server.url, request, connections).finally(() =>
      connections.destroy(),
    );
    expectSame(answer.status, 200, "a live agent renews");
  },
  attack: async (world, { aud }) => {
    let granted = 0;
    for (let round = 0; round < ROUNDS; round += 1) granted += await race(world, aud);
    expect(
      granted > 0 && granted < ROUNDS * RENEWALS,
      `the races were races: ${granted} renewals came first`,
    );
  },
  evidence: async (ledger) => {
    const events = await ledger.events();
    const revokedAt = new Map(
      events.filter(({ kind }) => kind === "revoke").map((event) => [event.resource, event.indexes[0] ?? 0]),
    );
    expectSame(revokedAt.size, ROUNDS, "revocations in the ledger");
    const late = events.filter(({ kind, outcome, agent_identity, indexes }) => {
      const index = revokedAt.get(agent_identity);
      return (
        kind === "renew" && outcome === "success" && index !== undefined && (indexes.at(-1) ?? 0) > index
      );
    });
    expectSame(late.length, 0, "renewals recorded behind the revocation");
  },
});
