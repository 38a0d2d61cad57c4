/** Rows of the stop lane: they work when everything else is busy, or broken. */
import {
  leasesAnswer,
  narrowingAnswer,
  narrowingRequest,
  revocationAnswer,
  revocationRequest,
} from "@trustwarden/core/api/revocation.ts";
import { LEASE_PROTOCOL } from "@trustwarden/core/revocation/frames.ts";
import { narrow, readLeases, revoke, stopAction, stopSubject } from "../acts/revocation.ts";
import { relationOf } from "../relation.ts";
import { ADMIN_ONLY, defineGuarded, EVERYWHERE, type Route } from "../route.ts";

/** Put on the table by `routes.ts`. */
export const STOPPING_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "POST",
    path: "/v1/revocations",
    listeners: EVERYWHERE,
    summary: "Stop an instance, an agent with its subtree, an owner, a job, a key, a policy, or everything",
    access: ["agent", "owner", "operator"],
    recording: "with_state",
    isStopLane: true,
    body: revocationRequest,
    answer: revocationAnswer,
    action: ({ body }) => stopAction(body.target),
    subject: ({ reads }, { caller, body }) => stopSubject(reads, caller.principal, body.target),
    act: revoke,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/narrowings",
    listeners: EVERYWHERE,
    summary: "Replace an instance's scope by a part of it",
    access: ["agent", "owner", "operator"],
    recording: "with_state",
    isStopLane: true,
    body: narrowingRequest,
    answer: narrowingAnswer,
    action: () => "narrow:instance",
    subject: ({ reads }, { caller, body }) =>
      relationOf(reads, caller.principal, { kind: "instance", id: body.instance_id }),
    act: narrow,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/leases",
    listeners: ADMIN_ONLY,
    summary: "Who holds a lease, and how far each change is that is on its way",
    access: ["operator"],
    recording: "single",
    answer: leasesAnswer,
    action: () => "read:status",
    subject: () => "none",
    act: readLeases,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/lease",
    listeners: ["stop"],
    summary: `Upgrade to ${LEASE_PROTOCOL}`,
    access: ["verifier", "node", "agent"],
    recording: "single",
    kind: "admin",
    answer: "upgrade",
    action: () => "hold:lease",
    subject: () => "self",
    act: () => Promise.resolve(),
  }),
];
