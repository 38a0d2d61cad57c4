/** Rows of the OAuth authorization server: forms in, the RFCs' errors out, on the one path. */
import {
  authorizationServerMetadata,
  introspectionAnswer,
  tokenAnswer,
  tokenForm,
  tokenRequest,
} from "@trustwarden/core/api/oauth.ts";
import {
  CLIENT_PATH,
  INTROSPECTION_PATH,
  JWKS_PATH,
  METADATA_PATH,
  REVOCATION_PATH,
  TOKEN_PATH,
} from "../../oauth/authorization-server.ts";
import { describeClient, discoverOAuth, readOAuthJwks } from "../../oauth/metadata.ts";
import { issueAccessToken } from "../../oauth/token-endpoint.ts";
import { introspect, revokeAccessToken } from "../../oauth/token-status.ts";
import { defineGuarded, definePublic, type ListenerName, MAIN_ADMIN_AND_WEB, type Route } from "../route.ts";

/** On the web a client has no certificate to show and comes with an assertion. */
const MAIN_AND_WEB: readonly ListenerName[] = ["main", "web"];

/** Put on the table by `routes.ts`. */
export const OAUTH_ROUTES: readonly Route[] = [
  definePublic({
    method: "GET",
    path: METADATA_PATH,
    listeners: MAIN_ADMIN_AND_WEB,
    summary: "OAuth authorization server metadata",
    answer: authorizationServerMetadata,
    act: discoverOAuth,
  }),
  definePublic({
    method: "GET",
    path: JWKS_PATH,
    listeners: MAIN_ADMIN_AND_WEB,
    summary: "Keys of access tokens",
    answer: "raw",
    isShared: true,
    act: readOAuthJwks,
  }),
  definePublic({
    method: "GET",
    path: CLIENT_PATH,
    listeners: MAIN_ADMIN_AND_WEB,
    summary: "Our agents as a client of other authorization servers (CIMD)",
    answer: "raw",
    act: describeClient,
  }),
  defineGuarded({
    method: "POST",
    path: TOKEN_PATH,
    listeners: MAIN_AND_WEB,
    dialect: "oauth",
    summary: "An access token for the calling client",
    access: ["agent"],
    recording: "with_state",
    body: tokenRequest,
    answer: tokenAnswer,
    action: () => "issue:access-token",
    subject: () => "self",
    act: issueAccessToken,
  }),
  defineGuarded({
    method: "POST",
    path: INTROSPECTION_PATH,
    listeners: MAIN_AND_WEB,
    dialect: "oauth",
    summary: "Whether an access token counts, and what it says",
    access: ["agent", "verifier"],
    recording: "single",
    body: tokenForm,
    answer: introspectionAnswer,
    action: () => "read:access-token",
    subject: () => "self",
    act: introspect,
  }),
  defineGuarded({
    method: "POST",
    path: REVOCATION_PATH,
    listeners: MAIN_AND_WEB,
    dialect: "oauth",
    summary: "Void an access token of the calling client",
    access: ["agent"],
    recording: "with_state",
    body: tokenForm,
    answer: "raw",
    action: () => "revoke:access-token",
    subject: () => "self",
    act: revokeAccessToken,
  }),
];
