/** What the ledger says about who was turned away. */
import { type EventView, eventAnswer, eventPage } from "@trustwarden/core/api/ledger.ts";
import { parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import type { ErrorCode } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { expect } from "vitest";
import { parseAnswer } from "./actors.ts";
import { codeOf, type RawAnswer, sendAdmin } from "./http.ts";
import type { TestServer } from "./server.ts";

/** Events of a kind, newest first. */
export async function eventsOf(server: TestServer, kind: string): Promise<readonly EventView[]> {
  const target = `/v1/events?kind=${kind}&limit=500`;
  return parseAnswer(eventPage, await sendAdmin(server.adminSocket, { target })).events;
}

/** The records of one event, as they are signed. */
export async function payloadsOf(
  server: TestServer,
  { event_id }: Pick<EventView, "event_id">,
): Promise<readonly JsonObject[]> {
  const answer = await sendAdmin(server.adminSocket, { target: `/v1/events/${event_id}` });
  const { records } = parseAnswer(eventAnswer, answer);
  return records.map(({ entry }) => parseUnverifiedPayload(parseEnvelope(entry)));
}

/**
 * A refusal as it must be: vague to the caller, exact in the ledger, and exactly one event more.
 *
 * @returns the event.
 */
export async function expectRefused(
  server: TestServer,
  ask: () => Promise<RawAnswer>,
  code: ErrorCode,
): Promise<EventView> {
  const before = await eventsOf(server, "refuse");
  const answer = await ask();
  const after = await eventsOf(server, "refuse");
  const [event] = after;
  if (event === undefined) throw new Error(`nothing was recorded: ${answer.status} ${answer.text}`);
  expect({ reasons: event.reasons, added: after.length - before.length }).toEqual({
    reasons: [code],
    added: 1,
  });
  expect({ status: answer.status, code: codeOf(answer) }).toEqual({ status: 401, code: "principal_refused" });
  return event;
}
