/** Rows by which instances come into being and stay. */
import {
  identityAnswer,
  instanceRequest,
  jwtSvidAnswer,
  jwtSvidRequest,
  renewRequest,
  witSvidAnswer,
  witSvidRequest,
} from "@trustwarden/core/api/identity.ts";
import { enrol, issueJwt, renew } from "../acts/identity.ts";
import { issueWit } from "../acts/wit.ts";
import { defineGuarded, MAIN_AND_ADMIN, type Route } from "../route.ts";

/** Put on the table by `routes.ts`. */
export const IDENTITY_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "POST",
    path: "/v1/instances",
    listeners: MAIN_AND_ADMIN,
    summary: "Enrol a new instance by ticket or grant",
    access: ["enrollee"],
    recording: "with_state",
    body: instanceRequest,
    answer: identityAnswer,
    action: () => "issue:instance",
    subject: () => "self",
    act: enrol,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/svids/renew",
    listeners: MAIN_AND_ADMIN,
    summary: "A further SVID for the calling instance",
    access: ["agent", "verifier", "node"],
    recording: "with_state",
    body: renewRequest,
    answer: identityAnswer,
    action: () => "renew:svid",
    subject: () => "self",
    act: renew,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/jwt-svids",
    listeners: MAIN_AND_ADMIN,
    summary: "A JWT-SVID for federation out",
    access: ["agent"],
    recording: "with_state",
    body: jwtSvidRequest,
    answer: jwtSvidAnswer,
    action: () => "issue:jwt-svid",
    subject: () => "self",
    act: issueJwt,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/wit-svids",
    listeners: MAIN_AND_ADMIN,
    summary: "A WIT-SVID of the calling instance or its class, for a key",
    access: ["agent"],
    recording: "with_state",
    body: witSvidRequest,
    answer: witSvidAnswer,
    // A token is a token: whoever may have one that works without a key may have one that does not.
    action: () => "issue:jwt-svid",
    subject: () => "self",
    act: issueWit,
  }),
];
