/** Rows about actions that wait for a human, and about the freeze. */
import {
  approvalAnswerRequest,
  approvalList,
  approvalQuery,
  approvalRequest,
  approvalView,
  approvalWait,
  freezeAnswer,
  freezeRequest,
} from "@trustwarden/core/api/approval.ts";
import { z } from "zod";
import {
  answerApproval,
  createApprovalRequest,
  listApprovals,
  setFreeze,
  showApproval,
  showFreeze,
} from "../acts/approvals.ts";
import { relationOf } from "../relation.ts";
import { ADMIN_ONLY, defineGuarded, MAIN_AND_ADMIN, type Route } from "../route.ts";

const approvalPath = z.object({ id: z.string().min(1).max(64) });

/** Put on the table by `routes.ts`. */
export const APPROVALS_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "POST",
    path: "/v1/approvals",
    listeners: MAIN_AND_ADMIN,
    summary: "Ask the owner about an action that was answered with approval_required",
    access: ["agent"],
    recording: "with_state",
    body: approvalRequest,
    answer: approvalView,
    action: () => "create:approval",
    // The act refuses an action of anybody else.
    subject: () => "self",
    act: createApprovalRequest,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/approvals",
    listeners: MAIN_AND_ADMIN,
    summary: "Actions that wait for a human",
    access: ["owner", "operator"],
    recording: "single",
    query: approvalQuery,
    answer: approvalList,
    action: () => "read:approvals",
    // An owner's list is cut to its own.
    subject: (_services, { caller }) => (caller.principal.kind === "operator" ? "none" : "self"),
    act: listApprovals,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/approvals/:id",
    listeners: MAIN_AND_ADMIN,
    summary: "One such action and its answer; may wait for it",
    access: ["agent", "owner", "operator"],
    recording: "single",
    query: approvalWait,
    params: approvalPath,
    answer: approvalView,
    action: () => "read:approvals",
    subject: ({ reads }, { caller, params }) =>
      relationOf(reads, caller.principal, { kind: "approval", id: params.id }),
    act: showApproval,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/approvals/:id/answer",
    listeners: MAIN_AND_ADMIN,
    summary: "The owner's signed answer",
    access: ["owner"],
    recording: "with_state",
    body: approvalAnswerRequest,
    params: approvalPath,
    answer: approvalView,
    action: () => "answer:approval",
    subject: ({ reads }, { caller, params }) =>
      relationOf(reads, caller.principal, { kind: "approval", id: params.id }),
    act: answerApproval,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/policy/freeze",
    listeners: ADMIN_ONLY,
    summary: "Freeze what changes the world, or lift it",
    access: ["operator"],
    recording: "with_state",
    isStopLane: true,
    body: freezeRequest,
    answer: freezeAnswer,
    action: () => "update:policy",
    subject: () => "none",
    act: setFreeze,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/policy/freeze",
    listeners: ADMIN_ONLY,
    summary: "The freeze that is on",
    access: ["operator"],
    recording: "single",
    answer: freezeAnswer,
    action: () => "read:policy",
    subject: () => "none",
    act: showFreeze,
  }),
];
