/** P8: what was revoked, shown to somebody who holds no lease. */
import { jwtSvidAnswer } from "@trustwarden/core/api/identity.ts";
import { parseAnswer } from "../../test/support/actors.ts";
import { sendAdmin } from "../../test/support/http.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { judgeCertificate, statusOf } from "../support/relying-party.ts";
import { callAsAgent } from "../support/visits.ts";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P8",
  title:
    "shows the certificate and the token of a revoked agent to relying parties that know the standards only",
  expected: "void on the revocation list and on the status list as soon as the revocation is answered",
  weakening: "lists-forget",
  mayChange: ["epoch", "liveInstances", "registry"],
  prepare: async (world) => {
    const agent = await world.enrol(["read:transactions"]);
    const answer = await callAsAgent(world, agent, {
      method: "POST",
      target: "/v1/jwt-svids",
      action: "issue:jwt-svid",
      body: JSON.stringify({ audience: "https://bank.test" }),
    });
    return { agent, svid: parseAnswer(jwtSvidAnswer, answer).svid };
  },
  control: async (world, { agent, svid }) => {
    expectSame(await judgeCertificate(world, agent.tls.cert), "OK", "a live agent's certificate");
    expectSame(await statusOf(world, svid), 0, "a live agent's token");
  },
  attack: async (world, { agent, svid }) => {
    const body = JSON.stringify({ target: { kind: "instance", id: agent.answer.instance_id } });
    const stop = { method: "POST", target: "/v1/revocations", body };
    const { status } = await sendAdmin(world.server.adminSocket, stop);
    if (status !== 200) throw new Error(`the revocation was answered with ${status}`);
    expectSame(await judgeCertificate(world, agent.tls.cert), "revoked", "the stolen certificate");
    expectSame(await statusOf(world, svid), 1, "the stolen token");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "revoke" }, 1);
  },
});
