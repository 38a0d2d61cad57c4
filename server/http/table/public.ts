/** The closed public list: rows that need no identity and leave no record. */
import { nonceAnswer, openIdConfiguration } from "@trustwarden/core/api/identity.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { z } from "zod";
import {
  discover,
  discoverOpenId,
  health,
  issueNonce,
  readBundle,
  readBundlePem,
  readCheckpoint,
  readHashTile,
  readJwks,
  readWitnessedCheckpoint,
  readWitnessPolicy,
} from "../acts/public.ts";
import { readCrl, readCrlPem, readRootCrl, readStatusList } from "../acts/revocation-lists.ts";
import { definePublic, EVERYWHERE, MAIN_ADMIN_AND_WEB, MAIN_AND_ADMIN, type Route } from "../route.ts";

const ok = z.object({ status: z.literal("ok") });
const statusPage = z.object({ page: z.string().regex(/^(?:0|[1-9]\d?)$/) });
const tilePath = z.object({ "*": z.string().max(128) });

/** Put on the table by `routes.ts`. */
export const PUBLIC_ROUTES: readonly Route[] = [
  definePublic({
    method: "GET",
    path: "/healthz",
    listeners: [...EVERYWHERE, "web"],
    summary: "Whether the server answers",
    answer: ok,
    act: health,
  }),
  definePublic({
    method: "GET",
    path: "/v1/bundle",
    listeners: MAIN_ADMIN_AND_WEB,
    summary: "SPIFFE trust bundle",
    answer: "raw",
    isShared: true,
    act: readBundle,
  }),
  definePublic({
    method: "GET",
    path: "/v1/bundle.pem",
    listeners: MAIN_ADMIN_AND_WEB,
    summary: "Root certificates of the trust bundle, PEM",
    answer: "raw",
    isShared: true,
    act: readBundlePem,
  }),
  definePublic({
    method: "GET",
    path: "/v1/jwks",
    listeners: MAIN_ADMIN_AND_WEB,
    summary: "Keys of JWT-SVIDs",
    answer: "raw",
    isShared: true,
    act: readJwks,
  }),
  definePublic({
    method: "GET",
    path: "/v1/crl",
    listeners: MAIN_ADMIN_AND_WEB,
    summary: "Revocation list of the online authority, DER",
    answer: "raw",
    act: readCrl,
  }),
  definePublic({
    method: "GET",
    path: "/v1/crl.pem",
    listeners: MAIN_ADMIN_AND_WEB,
    summary: "Revocation lists of every authority, PEM",
    answer: "raw",
    isShared: true,
    act: readCrlPem,
  }),
  definePublic({
    method: "GET",
    path: "/v1/crl/root",
    listeners: MAIN_ADMIN_AND_WEB,
    summary: "Revocation list of the root, DER",
    answer: "raw",
    isShared: true,
    act: readRootCrl,
  }),
  definePublic({
    method: "GET",
    path: "/.well-known/openid-configuration",
    listeners: MAIN_ADMIN_AND_WEB,
    summary: "OpenID Connect discovery for JWT-SVIDs",
    answer: openIdConfiguration,
    act: discoverOpenId,
  }),
  definePublic({
    method: "GET",
    path: "/v1/status-list/:page",
    listeners: MAIN_ADMIN_AND_WEB,
    summary: "Token status list of JWT-SVIDs",
    params: statusPage,
    answer: "raw",
    act: readStatusList,
  }),
  definePublic({
    method: "GET",
    path: "/.well-known/trustwarden",
    listeners: MAIN_AND_ADMIN,
    summary: "Discovery",
    answer: discovery,
    isShared: true,
    act: discover,
  }),
  definePublic({
    method: "GET",
    path: "/v1/nonce",
    listeners: EVERYWHERE,
    summary: "A nonce for one proof of possession",
    answer: nonceAnswer,
    act: issueNonce,
  }),
  definePublic({
    method: "GET",
    path: "/ledger/checkpoint",
    listeners: MAIN_AND_ADMIN,
    summary: "Latest signed tree head of the first shard",
    answer: "raw",
    act: (services) => readCheckpoint(services, {}),
  }),
  definePublic({
    method: "GET",
    path: "/ledger/witnessed-checkpoint",
    listeners: MAIN_AND_ADMIN,
    summary: "Latest tree head of the first shard that a quorum of witnesses has cosigned",
    answer: "raw",
    act: (services) => readWitnessedCheckpoint(services, {}),
  }),
  definePublic({
    method: "GET",
    path: "/ledger/witness-policy",
    listeners: MAIN_AND_ADMIN,
    summary: "Who witnesses the ledger, as C2SP tlog-policy",
    answer: "raw",
    act: readWitnessPolicy,
  }),
  definePublic({
    method: "GET",
    path: "/ledger/tile/*",
    listeners: MAIN_AND_ADMIN,
    summary: "Hash tiles of the first shard",
    params: tilePath,
    answer: "raw",
    act: readHashTile,
  }),
];
