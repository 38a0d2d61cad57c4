/** Rows of the data plane: the decision before an action, and what came of it. */
import {
  decisionAnswer,
  decisionRequest,
  outcomeAnswer,
  outcomeRequest,
  outcomesAnswer,
} from "@trustwarden/core/api/action.ts";
import { z } from "zod";
import { recordOutcomes } from "../acts/outcomes.ts";
import { defineGuarded, MAIN_AND_ADMIN, type Route } from "../route.ts";

/** As many outcomes as fit into one request, twice as large as the SDK writes them. */
const MAX_OUTCOMES_BYTES = 524_288;

/** Put on the table by `routes.ts`. */
export const ACTIONS_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "POST",
    path: "/v1/decisions",
    listeners: MAIN_AND_ADMIN,
    summary: "Decide and record an agent's intent",
    access: ["agent"],
    recording: "decision",
    body: decisionRequest,
    answer: decisionAnswer,
    // The data plane takes action and subject from the intent itself; see decision-ports.ts.
    action: () => "ask:decision",
    subject: () => "none",
    act: () => Promise.reject(new Error("the decision route walks the first half of the path only")),
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/outcomes",
    listeners: MAIN_AND_ADMIN,
    summary: "Record what came of an action",
    access: ["verifier", "agent"],
    recording: "outcome",
    maxBodyBytes: MAX_OUTCOMES_BYTES,
    body: outcomeRequest,
    answer: z.union([outcomeAnswer, outcomesAnswer]),
    action: ({ caller }) => (caller.principal.kind === "agent" ? "act:outcome" : "record:outcome"),
    subject: () => "self",
    act: recordOutcomes,
  }),
];
