/** Rows by which hosts join, and by which workloads get identities without a ticket. */
import { identityAnswer } from "@trustwarden/core/api/identity.ts";
import {
  attestedInstanceRequest,
  joinTokenAnswer,
  joinTokenRequest,
  nodeEndingRequest,
  nodeEntriesAnswer,
  nodeEntriesQuery,
  nodeIdentityAnswer,
  nodeInstanceRequest,
  nodeJwtAnswer,
  nodeJwtRequest,
  nodeRenewalRequest,
  nodeRequest,
} from "@trustwarden/core/api/registration.ts";
import { revocationAnswer } from "@trustwarden/core/api/revocation.ts";
import {
  createJoinToken,
  endForNode,
  issueForNode,
  issueJwtForNode,
  issueToWorkload,
  joinNode,
  listNodeEntries,
  renewForNode,
} from "../acts/nodes.ts";
import { relationOf } from "../relation.ts";
import { ADMIN_ONLY, defineGuarded, MAIN_AND_ADMIN, type Question, type Route } from "../route.ts";
import type { Services } from "../services.ts";

/** Put on the table by `routes.ts`. */
export const NODES_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "POST",
    path: "/v1/join-tokens",
    listeners: ADMIN_ONLY,
    summary: "A single-use token for one host",
    access: ["operator"],
    recording: "with_state",
    body: joinTokenRequest,
    answer: joinTokenAnswer,
    action: () => "create:join-token",
    subject: () => "none",
    act: createJoinToken,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/nodes",
    listeners: MAIN_AND_ADMIN,
    summary: "Admit a host's daemon by evidence",
    access: ["enrollee"],
    enrolment: "node",
    recording: "with_state",
    body: nodeRequest,
    answer: identityAnswer,
    action: () => "issue:node",
    subject: () => "self",
    act: joinNode,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/attested-instances",
    listeners: MAIN_AND_ADMIN,
    summary: "Enrol a workload by evidence of its own",
    access: ["enrollee"],
    enrolment: "workload",
    recording: "with_state",
    body: attestedInstanceRequest,
    answer: identityAnswer,
    action: () => "issue:instance",
    subject: () => "self",
    act: issueToWorkload,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/node/entries",
    listeners: MAIN_AND_ADMIN,
    summary: "Entries that the calling node may ask for",
    access: ["node"],
    recording: "single",
    query: nodeEntriesQuery,
    answer: nodeEntriesAnswer,
    action: () => "read:entries",
    subject: () => "self",
    act: listNodeEntries,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/node/instances",
    listeners: MAIN_AND_ADMIN,
    summary: "An instance for a workload of the calling node",
    access: ["node"],
    recording: "with_state",
    body: nodeInstanceRequest,
    answer: nodeIdentityAnswer,
    action: () => "issue:instance",
    subject: ({ reads }, { caller, body }) =>
      relationOf(reads, caller.principal, { kind: "entry", id: body.entry_id }),
    act: issueForNode,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/node/renewals",
    listeners: MAIN_AND_ADMIN,
    summary: "Further SVIDs for an instance of the calling node",
    access: ["node"],
    recording: "with_state",
    body: nodeRenewalRequest,
    answer: nodeIdentityAnswer,
    action: () => "renew:svid",
    subject: relationToInstance,
    act: renewForNode,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/node/jwt-svids",
    listeners: MAIN_AND_ADMIN,
    summary: "A JWT-SVID for an instance of the calling node",
    access: ["node"],
    recording: "with_state",
    body: nodeJwtRequest,
    answer: nodeJwtAnswer,
    action: () => "issue:jwt-svid",
    subject: relationToInstance,
    act: issueJwtForNode,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/node/endings",
    listeners: MAIN_AND_ADMIN,
    summary: "End an instance whose process is gone",
    access: ["node"],
    recording: "with_state",
    body: nodeEndingRequest,
    answer: revocationAnswer,
    action: () => "revoke:instance",
    subject: relationToInstance,
    act: endForNode,
  }),
];

/** A node is no instance of its own: what it renews, ends or speaks for is below it, or nothing of its. */
function relationToInstance(
  { reads }: Services,
  { caller, body }: Question<{ readonly instance_id: string }>,
): ReturnType<typeof relationOf> {
  return relationOf(reads, caller.principal, { kind: "instance", id: body.instance_id });
}
