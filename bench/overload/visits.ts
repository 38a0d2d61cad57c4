/** Visits of an agent at a service, decided by a real server as fast as it answers. */
import { createSecureContext } from "node:tls";
import { decisionAnswer } from "@trustwarden/core/api/action.ts";
import { outcomeOf, type TestInstance, visitIntent } from "../../test/support/actors.ts";
import type { TestServer } from "../../test/support/server.ts";
import { encodeRequest, Line } from "./line.ts";

/** Connections that ask for the decisions. */
const ASKERS = 16;

/** Has so many visits decided, and signs their outcomes. */
export async function decideVisits(
  server: TestServer,
  {
    agent,
    service,
    count,
  }: { readonly agent: TestInstance; readonly service: TestInstance; readonly count: number },
): Promise<readonly string[]> {
  const outcomes: string[] = [];
  const chain = agent.answer.svid_chain;
  let asked = 0;
  const lines = await Promise.all(
    Array.from({ length: Math.min(ASKERS, count) }, () =>
      Line.open(server.url, createSecureContext(service.tls)),
    ),
  );
  const askInTurn = async (line: Line): Promise<void> => {
    while (asked < count) {
      asked += 1;
      const intent = visitIntent(agent, service).envelope;
      const body = JSON.stringify({ intent, svid_chain: chain });
      const answer = await line.ask(encodeRequest({ method: "POST", target: "/v1/decisions", body }));
      if (answer.status !== 200) throw new Error(`a decision was answered ${answer.status} ${answer.body}`);
      outcomes.push(outcomeOf(service, decisionAnswer.parse(JSON.parse(answer.body)).receipt));
    }
  };
  await Promise.all(lines.map(askInTurn));
  for (const line of lines) line.close();
  return outcomes;
}
