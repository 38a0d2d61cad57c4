/** Rows about the keys of the authority. */
import {
  authorityAnswer,
  authorityStepAnswer,
  authorityStepRequest,
  successionList,
} from "@trustwarden/core/api/authority.ts";
import { readAuthority, readSuccessions, stepAuthority } from "../acts/authority.ts";
import { ADMIN_ONLY, defineGuarded, definePublic, MAIN_AND_ADMIN, type Route } from "../route.ts";

/** Put on the table by `routes.ts`. */
export const AUTHORITY_ROUTES: readonly Route[] = [
  definePublic({
    method: "GET",
    path: "/v1/successions",
    listeners: MAIN_AND_ADMIN,
    summary: "Which set of roots follows which, signed by the roots",
    answer: successionList,
    isShared: true,
    act: readSuccessions,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/authority",
    listeners: ADMIN_ONLY,
    summary: "The keys of the authority and their states",
    access: ["operator"],
    recording: "single",
    answer: authorityAnswer,
    action: () => "read:authority",
    subject: () => "none",
    act: readAuthority,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/authority/steps",
    listeners: ADMIN_ONLY,
    summary: "Prepare, activate, rotate, retire, taint or revoke a key of the authority",
    access: ["operator"],
    recording: "with_state",
    body: authorityStepRequest,
    answer: authorityStepAnswer,
    action: ({ body }) => (body.step === "revoke" ? "revoke:authority" : "rotate:authority"),
    subject: () => "none",
    act: stepAuthority,
  }),
];
