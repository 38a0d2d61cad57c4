/** D2: stolen credentials without their keys. */
import { randomBytes } from "node:crypto";
import { formatRequestCommitment } from "@trustwarden/core/intent.ts";
import { askDecision, instanceOf, intentOf, visitIntent } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { call, expectRefusal, UNPROVEN } from "../support/client.ts";
import { AUDIENCE, issueToken } from "../support/tokens.ts";
import { callAsAgent, intentHeaders, visit } from "../support/visits.ts";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "D2",
  title: "uses a stolen certificate without its key, and a stolen token from another client",
  expected: "refused: every credential is bound to a key that the thief does not have",
  weakening: "bearer-believed",
  prepare: async (world) => {
    await world.finance();
    const victim = await world.enrol(["read:transactions"]);
    return {
      victim,
      token: await issueToken(world, victim, AUDIENCE),
      thief: await world.enrol(["read:logs"]),
      verifier: await world.enrolVerifier(),
      from: world.source(),
    };
  },
  control: async (world, { victim }) => {
    expectSame((await visit(world, { agent: victim })).status, 200, "the holder of the key reads");
    expectSame(
      (await callAsAgent(world, victim, { target: "/v1/events", action: "read:ledger" })).status,
      200,
      "and reads its events",
    );
  },
  attack: async (world, { victim, token, thief, verifier, from }) => {
    // The victim's certificates, the thief's key.
    const mask = instanceOf(victim.answer, createTestSigner());
    const salt = new Uint8Array(randomBytes(32));
    const request = formatRequestCommitment(
      { method: "GET", target: "/v1/events", body: new Uint8Array() },
      salt,
    );
    const resource = "trustwarden://acme.test/v1/events";
    const intent = intentOf(mask, { aud: await world.serverId(), action: "read:ledger", resource, request });
    const headers = intentHeaders(intent, salt);
    const target = "/v1/events";
    expectRefusal(
      await call(world.server.url, { target, headers }, { from }),
      UNPROVEN,
      "an intent without a certificate",
    );
    expectRefusal(
      await call(world.server.url, { target, headers }, { from, tls: thief.tls }),
      UNPROVEN,
      "the victim's name over the thief's connection",
    );
    const masked = visitIntent(mask, verifier);
    expectRefusal(
      await askDecision(world.server, { caller: verifier, agent: mask, intent: masked }),
      UNPROVEN,
      "the victim's chain with the thief's signature",
    );
    expectRefusal(await visit(world, { agent: mask, tls: thief.tls }), UNPROVEN, "the same at a service");
    const bearer = { authorization: `Bearer ${token}` };
    for (const tls of [undefined, thief.tls, victim.tls]) {
      expectRefusal(
        await call(world.server.url, { target, headers: bearer }, { from, tls }),
        UNPROVEN,
        "a token",
      );
      const stop = {
        method: "POST",
        target: "/v1/revocations",
        headers: bearer,
        body: JSON.stringify({ target: { kind: "instance", id: victim.answer.instance_id } }),
      };
      expectRefusal(await call(world.server.stopUrl, stop, { from, tls }), UNPROVEN, "a token that stops");
    }
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "svid_bearer_refused" }, 3);
    await ledger.expect({ kind: "revoke" }, 0);
  },
});
