/** What a server kept of a call, and what its ledger says of it. */
import { eventAnswer } from "@trustwarden/core/api/ledger.ts";
import { payloadAnswer } from "@trustwarden/core/api/payloads.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { parseEnvelope } from "@trustwarden/core/dsse.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { jsonOf, type RawAnswer, sendAdmin } from "./http.ts";
import type { TestServer } from "./server.ts";

/** What an operator gets of a call. */
export function readPayload(server: TestServer, eventId: string): Promise<RawAnswer> {
  return sendAdmin(server.adminSocket, { target: `/v1/payloads/${eventId}` });
}

/** The commitments in the ledger: of the intent, and of the outcome. */
export async function committedOf(server: TestServer, eventId: string) {
  const answer = await sendAdmin(server.adminSocket, { target: `/v1/events/${eventId}` });
  const { records } = eventAnswer.parse(jsonOf(answer));
  const [intent, , outcome] = records.map(({ entry }) =>
    parseJsonObject(parseUtf8(parseEnvelope(entry).payload)),
  );
  return { request: intent?.request, answer: outcome?.result };
}

/** What was kept, in words, and whether it opens what the ledger is committed to. */
export async function openPayload(server: TestServer, eventId: string) {
  const kept = payloadAnswer.parse(jsonOf(await readPayload(server, eventId)));
  const { request, answer } = await committedOf(server, eventId);
  return {
    request: Buffer.from(kept.request, "base64url").toString(),
    answer: Buffer.from(kept.answer, "base64url").toString(),
    isCommitted: kept.request_commitment === request && kept.answer_commitment === answer,
  };
}
