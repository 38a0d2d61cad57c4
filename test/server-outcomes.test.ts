/** What came of an action: one outcome a decision, from the enforcement point that the intent names. */

import {
  type DecisionAnswer,
  MAX_OUTCOMES,
  outcomeAnswer,
  outcomesAnswer,
} from "@trustwarden/core/api/action.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  askDecision,
  createOwner,
  enrolAgent,
  enrolVerifier,
  intentOf,
  outcomeOf,
  parseAnswer,
  parseDecision,
  serverIdOf,
  type TestInstance,
  visitIntent,
} from "./support/actors.ts";
import { codeOf, type RawAnswer, send, sendAdmin } from "./support/http.ts";
import { eventsOf, expectRefused } from "./support/refusals.ts";
import { createHome, startTestServer, type TestServer } from "./support/server.ts";

const home = createHome();
let server: TestServer;
let agent: TestInstance;
let verifier: TestInstance;

beforeAll(async () => {
  server = await startTestServer({}, home);
  agent = await enrolAgent(server, await createOwner(server));
  verifier = await enrolVerifier(server);
});
afterAll(async () => {
  await server.close();
  home.remove();
});

async function visit(action = "read:transactions"): Promise<DecisionAnswer> {
  const intent = visitIntent(agent, verifier, { action });
  return parseDecision(await askDecision(server, { caller: verifier, agent, intent }));
}

function report(outcome: string, caller: TestInstance): Promise<RawAnswer> {
  const body = JSON.stringify({ outcome });
  return send(server.url, { method: "POST", target: "/v1/outcomes", body }, caller.tls);
}

function reportAll(outcomes: readonly string[], caller: TestInstance): Promise<RawAnswer> {
  const body = JSON.stringify({ outcomes });
  return send(server.url, { method: "POST", target: "/v1/outcomes", body }, caller.tls);
}

/** A refusal by the act: said to the caller by its code, and one event more. */
async function expectTurnedDown(ask: () => Promise<RawAnswer>, status: number, code: string): Promise<void> {
  const before = await eventsOf(server, "refuse");
  const answer = await ask();
  const after = await eventsOf(server, "refuse");
  expect([answer.status, codeOf(answer)]).toEqual([status, code]);
  expect([after.length - before.length, after[0]?.reasons]).toEqual([1, [code]]);
}

describe("an outcome", () => {
  it("is recorded once; sending it again gives the same answer, also at the same time", async () => {
    const { receipt } = await visit();
    const outcome = outcomeOf(verifier, receipt);
    const answers = await Promise.all(Array.from({ length: 5 }, () => report(outcome, verifier)));
    const indexes = answers.map((answer) => parseAnswer(outcomeAnswer, answer).index);
    expect(new Set(indexes).size).toBe(1);
    const [event] = await eventsOf(server, "action");
    expect(event).toMatchObject({ event_id: receipt.event_id, outcome: "success" });
    expect(event?.indexes).toEqual([receipt.decision_index - 1, receipt.decision_index, indexes[0]]);
  });

  it("that differs from the recorded one is a conflict", async () => {
    const { receipt } = await visit();
    await report(outcomeOf(verifier, receipt), verifier);
    const other = outcomeOf(verifier, receipt, { status: "failure" });
    await expectTurnedDown(() => report(other, verifier), 409, "event_conflict");
  });

  it("is refused from anybody but the service that the intent names", async () => {
    const { receipt } = await visit();
    const second = await enrolVerifier(server, "second");
    await expectTurnedDown(() => report(outcomeOf(second, receipt), second), 403, "outcome_refused");
    await expectTurnedDown(() => report(outcomeOf(agent, receipt), agent), 403, "outcome_refused");
    // Its own socket, but the rightful service's signature.
    await expectTurnedDown(() => report(outcomeOf(verifier, receipt), second), 403, "outcome_refused");
    expect((await report(outcomeOf(verifier, receipt), verifier)).status).toBe(200);
  });

  it("is refused for a denied decision", async () => {
    const { receipt, allow } = await visit("delete:transactions");
    expect(allow).toBe(false);
    await expectTurnedDown(() => report(outcomeOf(verifier, receipt), verifier), 403, "outcome_refused");
  });

  it("is refused for another event, another intent, or where no decision is", async () => {
    const first = await visit();
    const second = await visit();
    const changes = [
      { event_id: second.receipt.event_id },
      { intent_sha256: second.receipt.intent_sha256 },
      { decision_index: second.receipt.decision_index },
      { decision_index: first.receipt.decision_index - 1 },
      { decision_index: 0 },
      { decision_index: 9_999_999 },
    ];
    for (const change of changes) {
      await expectTurnedDown(
        () => report(outcomeOf(verifier, first.receipt, change), verifier),
        403,
        "outcome_refused",
      );
    }
  });

  it("is refused without a certificate, and with an altered signature", async () => {
    const { receipt } = await visit();
    const outcome = outcomeOf(verifier, receipt);
    const body = JSON.stringify({ outcome });
    await expectRefused(
      server,
      () => send(server.url, { method: "POST", target: "/v1/outcomes", body }),
      "no_svid",
    );
    const altered = outcomeOf({ ...verifier, signer: agent.signer }, receipt);
    await expectRefused(server, () => report(altered, verifier), "signature_invalid");
  });

  it("is recorded with others in one request, and sending them again changes nothing", async () => {
    const visits = [await visit(), await visit(), await visit()];
    const outcomes = visits.map(({ receipt }) => outcomeOf(verifier, receipt));
    const first = parseAnswer(outcomesAnswer, await reportAll(outcomes, verifier));
    expect(new Set(first.indexes).size).toBe(3);
    expect(parseAnswer(outcomesAnswer, await reportAll(outcomes, verifier))).toEqual(first);
    const again = parseAnswer(outcomeAnswer, await report(outcomes[1] ?? "", verifier));
    expect(again.index).toBe(first.indexes[1]);
  });

  it("is not recorded with one that would be refused", async () => {
    const [good, bad] = [await visit(), await visit()];
    const outcome = outcomeOf(verifier, good.receipt);
    const foreign = outcomeOf({ ...verifier, signer: agent.signer }, bad.receipt);
    const count = async () =>
      (await eventsOf(server, "action")).filter(({ outcome: end }) => end === "success").length;
    const before = await count();
    await expectRefused(server, () => reportAll([outcome, foreign], verifier), "signature_invalid");
    expect(await count()).toBe(before);
    expect((await report(outcome, verifier)).status).toBe(200);
  });

  it("is not recorded with one of another end, in the ledger or in the same request", async () => {
    const [known, twice, good] = [await visit(), await visit(), await visit()];
    await report(outcomeOf(verifier, known.receipt), verifier);
    const outcome = outcomeOf(verifier, good.receipt);
    const ended = async () =>
      (await eventsOf(server, "action")).filter(({ outcome: end }) => end !== "pending");
    const before = (await ended()).length;
    const failed = { status: "failure" } as const;
    for (const others of [
      [outcomeOf(verifier, known.receipt, failed)],
      [outcomeOf(verifier, twice.receipt), outcomeOf(verifier, twice.receipt, failed)],
    ])
      await expectTurnedDown(() => reportAll([outcome, ...others], verifier), 409, "event_conflict");
    expect((await ended()).length).toBe(before);
    expect((await report(outcome, verifier)).status).toBe(200);
  });

  it("comes with no more others than a request may have", async () => {
    const { receipt } = await visit();
    const outcome = outcomeOf(verifier, receipt);
    const many = (length: number) =>
      reportAll(
        Array.from({ length }, () => outcome),
        verifier,
      );
    expect((await many(MAX_OUTCOMES)).status).toBe(200);
    expect(codeOf(await many(MAX_OUTCOMES + 1))).toBe("request_malformed");
    expect(codeOf(await many(0))).toBe("request_malformed");
  });

  it("of an act in the agent's own process is signed by that agent", async () => {
    const intent = intentOf(agent, { aud: await serverIdOf(server), action: "write:reports" });
    const { receipt } = parseDecision(await askDecision(server, { caller: agent, agent, intent }));
    await expectTurnedDown(() => report(outcomeOf(verifier, receipt), verifier), 403, "outcome_refused");
    expect((await report(outcomeOf(agent, receipt), agent)).status).toBe(200);
  });

  describe("of an agent that was stopped", () => {
    const actOf = async (one: TestInstance) => {
      const intent = intentOf(one, { aud: await serverIdOf(server) });
      return parseDecision(await askDecision(server, { caller: one, agent: one, intent })).receipt;
    };
    const stop = async (kind: string, id: string) => {
      const body = JSON.stringify({ target: { kind, id } });
      const answer = await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
      expect(answer.status).toBe(200);
    };
    const aborted = { status: "aborted" };

    it("says that its own act was broken off, once, and nothing else", async () => {
      const owner = await createOwner(server, "stopping");
      const one = await enrolAgent(server, owner, { name: "cut" });
      const [act, other, more] = [await actOf(one), await actOf(one), await actOf(one)];
      const intent = visitIntent(one, verifier);
      const visited = parseDecision(
        await askDecision(server, { caller: verifier, agent: one, intent }),
      ).receipt;
      const unstopped = await actOf(agent);
      await stop("instance", one.answer.instance_id);
      for (const status of ["success", "failure"]) {
        const word = () => report(outcomeOf(one, act, { status }), one);
        await expectRefused(server, word, "identity_revoked");
        const together = [outcomeOf(one, other, aborted), outcomeOf(one, act, { status })];
        await expectRefused(server, () => reportAll(together, one), "identity_revoked");
      }
      const ofService = () => report(outcomeOf(one, visited, aborted), one);
      await expectTurnedDown(ofService, 403, "outcome_refused");
      const ofAnother = () => report(outcomeOf(one, unstopped, aborted), one);
      await expectTurnedDown(ofAnother, 403, "outcome_refused");
      const word = outcomeOf(one, act, aborted);
      const first = parseAnswer(outcomeAnswer, await report(word, one));
      expect(parseAnswer(outcomeAnswer, await report(word, one)).index).toBe(first.index);
      const again = () => report(outcomeOf(one, act, { ...aborted, bytes: 7 }), one);
      await expectTurnedDown(again, 409, "event_conflict");
      const rest = [other, more].map((receipt) => outcomeOf(one, receipt, aborted));
      expect(parseAnswer(outcomesAnswer, await reportAll(rest, one)).indexes).toHaveLength(2);
      const decided = intentOf(one, { aud: await serverIdOf(server) });
      const asked = await askDecision(server, { caller: one, agent: one, intent: decided });
      expect([asked.status, codeOf(asked)]).toEqual([401, "principal_refused"]);
    });

    it("is taken whoever of its chain was stopped, and from nobody but the agent itself", async () => {
      const owner = await createOwner(server, "stopped");
      const [one, two] = [
        await enrolAgent(server, owner, { name: "one" }),
        await enrolAgent(server, owner, { name: "two" }),
      ];
      const act = await actOf(one);
      await stop("owner", owner.ownerId);
      const forged = () => report(outcomeOf(one, act, aborted), two);
      await expectTurnedDown(forged, 403, "outcome_refused");
      expect((await report(outcomeOf(one, act, aborted), one)).status).toBe(200);
    });

    it("is not taken from a service that was stopped", async () => {
      const service = await enrolVerifier(server);
      const intent = visitIntent(agent, service);
      const { receipt } = parseDecision(await askDecision(server, { caller: service, agent, intent }));
      await stop("instance", service.answer.instance_id);
      const word = () => report(outcomeOf(service, receipt, aborted), service);
      await expectRefused(server, word, "identity_revoked");
    });
  });

  it("sent again after a restart is known, and a late one is taken", async () => {
    const early = await visit();
    const late = await visit();
    const outcome = outcomeOf(verifier, early.receipt);
    const recorded = parseAnswer(outcomeAnswer, await report(outcome, verifier));
    await server.close();
    server = await startTestServer({}, home);
    const again = parseAnswer(outcomeAnswer, await report(outcome, verifier));
    expect(again).toEqual({ index: recorded.index, acknowledgement: null });
    const other = outcomeOf(verifier, early.receipt, { status: "aborted" });
    await expectTurnedDown(() => report(other, verifier), 409, "event_conflict");
    expect((await report(outcomeOf(verifier, late.receipt), verifier)).status).toBe(200);
  });
});
