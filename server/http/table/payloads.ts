/** Rows about prompts and answers that operators keep. */
import { erasureAnswer, erasureRequest, payloadAnswer, payloadPath } from "@trustwarden/core/api/payloads.ts";
import { erasePayload, readPayload } from "../acts/payloads.ts";
import { ADMIN_ONLY, defineGuarded, type Route } from "../route.ts";

/** Put on the table by `routes.ts`. */
export const PAYLOADS_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "GET",
    path: "/v1/payloads/:event_id",
    listeners: ADMIN_ONLY,
    summary: "A prompt and its answer, where an upstream's settings disclose them",
    access: ["operator"],
    recording: "single",
    params: payloadPath,
    answer: payloadAnswer,
    action: () => "read:payload",
    subject: () => "none",
    act: readPayload,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/payloads/:event_id/erasure",
    listeners: ADMIN_ONLY,
    summary: "Erase a prompt and its answer; the ledger keeps the commitments",
    access: ["operator"],
    recording: "answer",
    params: payloadPath,
    body: erasureRequest,
    answer: erasureAnswer,
    action: () => "remove:payload",
    subject: () => "none",
    act: erasePayload,
  }),
];
