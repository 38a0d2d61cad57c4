/** Rows of the policies in force. */
import {
  MAX_POLICY_BODY_BYTES,
  policyAnswer,
  policyLoadAnswer,
  policyRequest,
  replayRequest,
} from "@trustwarden/core/api/policy.ts";
import { loadPolicy, readPolicy } from "../acts/policy.ts";
import { replayPolicy } from "../acts/policy-replay.ts";
import { ADMIN_ONLY, defineGuarded, type Route } from "../route.ts";

/** Put on the table by `routes.ts`. */
export const POLICY_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "GET",
    path: "/v1/policy",
    listeners: ADMIN_ONLY,
    summary: "The policies in force",
    access: ["operator"],
    recording: "single",
    answer: policyAnswer,
    action: () => "read:policy",
    subject: () => "none",
    act: readPolicy,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/policy",
    listeners: ADMIN_ONLY,
    summary: "Put a signed custom policy in force",
    access: ["operator"],
    recording: "with_state",
    kind: "policy",
    body: policyRequest,
    answer: policyLoadAnswer,
    maxBodyBytes: MAX_POLICY_BODY_BYTES,
    action: () => "update:policy",
    subject: () => "none",
    act: loadPolicy,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/policy/replays",
    listeners: ADMIN_ONLY,
    summary: "What a draft of a policy would have decided of what is recorded, line by line (NDJSON)",
    access: ["operator"],
    recording: "single",
    body: replayRequest,
    answer: "raw",
    maxBodyBytes: MAX_POLICY_BODY_BYTES,
    // Nothing is put in force: whoever may read policies and the ledger learns no more than by doing it at home.
    action: () => "read:policy",
    subject: () => "none",
    act: replayPolicy,
  }),
];
