/** Rows of the transmitter of security events (OpenID Shared Signals Framework). */
import { ssfConfiguration } from "@trustwarden/core/api/ssf.ts";
import { describeTransmitter, readSsfJwks, SSF_JWKS_PATH } from "../acts/ssf.ts";
import { definePublic, MAIN_ADMIN_AND_WEB, type Route } from "../route.ts";

/** Put on the table by `routes.ts`. */
export const SSF_ROUTES: readonly Route[] = [
  definePublic({
    method: "GET",
    path: "/.well-known/ssf-configuration",
    listeners: MAIN_ADMIN_AND_WEB,
    summary: "The transmitter of security events",
    answer: ssfConfiguration,
    act: describeTransmitter,
  }),
  definePublic({
    method: "GET",
    path: SSF_JWKS_PATH,
    listeners: MAIN_ADMIN_AND_WEB,
    summary: "The key of security events",
    answer: "raw",
    act: readSsfJwks,
  }),
];
