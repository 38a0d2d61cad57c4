/** Rows about what nobody does alone: asked by one admin, confirmed by another. */
import {
  confirmationAnswer,
  confirmationDetail,
  confirmationList,
  confirmationPath,
  confirmationRequest,
  confirmationView,
  MAX_CONFIRMATION_BYTES,
} from "@trustwarden/core/api/confirmations.ts";
import {
  answerConfirmation,
  askForConfirmation,
  listConfirmations,
  readConfirmation,
} from "../acts/confirmations.ts";
import { ADMIN_ONLY, CONSOLE_ONLY, defineGuarded, type Route } from "../route.ts";

/** Put on the table by `routes.ts`. */
export const CONFIRMATIONS_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "POST",
    path: "/v1/confirmations",
    listeners: ADMIN_ONLY,
    summary: "Ask a second admin to confirm exactly one request",
    access: ["operator"],
    recording: "with_state",
    body: confirmationRequest,
    answer: confirmationView,
    maxBodyBytes: MAX_CONFIRMATION_BYTES,
    action: () => "create:confirmation",
    subject: () => "none",
    act: askForConfirmation,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/confirmations",
    listeners: ADMIN_ONLY,
    summary: "What waits for a second admin, and what became of it",
    access: ["operator"],
    recording: "single",
    answer: confirmationList,
    action: () => "read:confirmations",
    subject: () => "none",
    act: listConfirmations,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/confirmations/:id",
    listeners: ADMIN_ONLY,
    summary: "One request that waits for a second admin, with its body",
    access: ["operator"],
    recording: "single",
    params: confirmationPath,
    answer: confirmationDetail,
    action: () => "read:confirmations",
    subject: () => "none",
    act: readConfirmation,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/confirmations/:id/answer",
    // A socket has no passkey, and the host's operator is no second admin.
    listeners: CONSOLE_ONLY,
    summary: "Confirm a request with a passkey, or refuse it",
    access: ["person"],
    roles: ["admin"],
    recording: "with_state",
    body: confirmationAnswer,
    params: confirmationPath,
    answer: confirmationView,
    action: () => "answer:confirmation",
    subject: () => "none",
    act: answerConfirmation,
  }),
];
