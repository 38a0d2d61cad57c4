/** The path through a real server, end to end, over real sockets. */

import { outcomeAnswer } from "@trustwarden/core/api/action.ts";
import { statusAnswer } from "@trustwarden/core/api/ledger.ts";
import { revocationAnswer } from "@trustwarden/core/api/revocation.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  askDecision,
  createOwner,
  enrolAgent,
  enrolVerifier,
  outcomeOf,
  parseAnswer,
  parseDecision,
  serverIdOf,
  signedRequest,
  spawn,
  visitIntent,
} from "./support/actors.ts";
import { codeOf, send, sendAdmin } from "./support/http.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

describe("the path", () => {
  it("leads from an owner over a decision and its outcome to a stop", async () => {
    const owner = await createOwner(server);
    const orchestrator = await enrolAgent(server, owner);
    const agent = await spawn(server, orchestrator, { scope: ["read:transactions"] });
    const verifier = await enrolVerifier(server);
    const aud = await serverIdOf(server);

    const decision = parseDecision(
      await askDecision(server, { caller: verifier, agent, intent: visitIntent(agent, verifier) }),
    );
    expect(decision).toMatchObject({ allow: true, reasons: [], class: "C", enforcement: "service" });
    expect(decision.agent.chain_instances).toEqual([
      orchestrator.answer.instance_id,
      agent.answer.instance_id,
    ]);

    const outcome = outcomeOf(verifier, decision.receipt);
    const report = { method: "POST", target: "/v1/outcomes", body: JSON.stringify({ outcome }) };
    const recorded = parseAnswer(outcomeAnswer, await send(server.url, report, verifier.tls));
    expect(recorded.index).toBeGreaterThan(decision.receipt.decision_index);
    expect(parseAnswer(outcomeAnswer, await send(server.url, report, verifier.tls))).toEqual(recorded);

    const body = JSON.stringify({ target: { kind: "instance", id: orchestrator.answer.instance_id } });
    const stop = signedRequest(orchestrator, {
      method: "POST",
      target: "/v1/revocations",
      body,
      action: "revoke:instance",
      aud,
    });
    const stopped = parseAnswer(revocationAnswer, await send(server.stopUrl, stop, orchestrator.tls));
    expect(stopped).toMatchObject({ epoch: 1, instances: 2, recorded: true });

    const after = await askDecision(server, {
      caller: verifier,
      agent,
      intent: visitIntent(agent, verifier),
    });
    expect(after.status).toBe(401);
    expect(codeOf(after)).toBe("principal_refused");
    const status = parseAnswer(statusAnswer, await sendAdmin(server.adminSocket, { target: "/v1/status" }));
    expect(status).toMatchObject({ epoch: 1, agents: 2, live_instances: 1 });
  });
});
