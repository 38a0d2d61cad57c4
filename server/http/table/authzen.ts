/** Rows of the AuthZEN interface; its metadata is on the public list. */
import {
  actionSearch,
  actionSearchAnswer,
  authzenConfiguration,
  entitySearchAnswer,
  evaluationAnswer,
  evaluationRequest,
  evaluationsAnswer,
  evaluationsRequest,
  resourceSearch,
  subjectSearch,
} from "@trustwarden/core/api/authzen.ts";
import {
  describeAuthzen,
  evaluateMany,
  evaluateOne,
  findActions,
  findResources,
  findSubjects,
} from "../acts/authzen.ts";
import { defineGuarded, definePublic, MAIN_ADMIN_AND_POLICY, type Question, type Route } from "../route.ts";

/** What every row of this interface shares: services ask for a decision, operators and people look at one. */
const AUTHZEN = {
  method: "POST",
  listeners: MAIN_ADMIN_AND_POLICY,
  access: ["verifier", "operator"],
  action: ({ caller }: Question) =>
    caller.principal.kind === "verifier" ? "ask:decision" : "read:evaluation",
  subject: () => "none" as const,
} as const;

/** Put on the table by `routes.ts`. */
export const AUTHZEN_ROUTES: readonly Route[] = [
  definePublic({
    method: "GET",
    path: "/.well-known/authzen-configuration",
    listeners: MAIN_ADMIN_AND_POLICY,
    summary: "AuthZEN metadata",
    answer: authzenConfiguration,
    act: describeAuthzen,
  }),
  defineGuarded({
    ...AUTHZEN,
    path: "/access/v1/evaluation",
    summary: "AuthZEN: may the subject do this?",
    recording: "answer",
    body: evaluationRequest,
    answer: evaluationAnswer,
    act: evaluateOne,
  }),
  defineGuarded({
    ...AUTHZEN,
    path: "/access/v1/evaluations",
    summary: "AuthZEN: many evaluations at once",
    recording: "answer",
    body: evaluationsRequest,
    answer: evaluationsAnswer,
    act: evaluateMany,
  }),
  defineGuarded({
    ...AUTHZEN,
    path: "/access/v1/search/subject",
    summary: "AuthZEN: who may do this?",
    recording: "single",
    body: subjectSearch,
    answer: entitySearchAnswer,
    act: findSubjects,
  }),
  defineGuarded({
    ...AUTHZEN,
    path: "/access/v1/search/resource",
    summary: "AuthZEN: on what may the subject do this?",
    recording: "single",
    body: resourceSearch,
    answer: entitySearchAnswer,
    act: findResources,
  }),
  defineGuarded({
    ...AUTHZEN,
    path: "/access/v1/search/action",
    summary: "AuthZEN: what may the subject do with this?",
    recording: "single",
    body: actionSearch,
    answer: actionSearchAnswer,
    act: findActions,
  }),
];
