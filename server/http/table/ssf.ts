/** Rows of the transmitter of security events (OpenID Shared Signals Framework). */
import {
  ssfConfiguration,
  ssfPollAnswer,
  ssfPollRequest,
  ssfStatus,
  ssfStatusRequest,
  ssfStream,
  ssfStreamNamed,
  ssfStreamQuery,
  ssfStreamRequest,
  ssfStreams,
  ssfStreamUpdate,
  ssfSubjectRequest,
  ssfVerificationRequest,
} from "@trustwarden/core/api/ssf.ts";
import { describeTransmitter, readSsfJwks, SSF_JWKS_PATH, SSF_PATHS } from "../acts/ssf.ts";
import {
  addSubject,
  changeStreamStatus,
  createStream,
  pollStream,
  readStreamStatus,
  readStreams,
  removeStream,
  removeSubject,
  replaceStream,
  updateStream,
  verifyStream,
} from "../acts/ssf-streams.ts";
import {
  defineGuarded,
  definePublic,
  MAIN_ADMIN_AND_POLICY,
  MAIN_ADMIN_AND_WEB,
  type Route,
} from "../route.ts";

/** A receiver is a service that hears of stops, as it does by its lease. */
const RECEIVER = {
  listeners: MAIN_ADMIN_AND_POLICY,
  access: ["verifier"],
  subject: () => "self" as const,
  action: () => "hold:lease",
} as const;
/** The act says in the ledger what it changed, before it does. */
const CHANGE = { ...RECEIVER, kind: "admin", recording: "answer" } as const;
const READ = { ...RECEIVER, kind: "read", recording: "single" } as const;
const SUBJECT = { ...CHANGE, method: "POST", body: ssfSubjectRequest, answer: "raw" } as const;

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
  defineGuarded({
    ...CHANGE,
    method: "POST",
    path: SSF_PATHS.stream,
    summary: "SSF: make a stream, delivered by poll",
    body: ssfStreamRequest,
    answer: ssfStream,
    status: 201,
    act: createStream,
  }),
  defineGuarded({
    ...READ,
    method: "GET",
    path: SSF_PATHS.stream,
    summary: "SSF: one stream, or all of the receiver's",
    query: ssfStreamQuery,
    answer: ssfStreams,
    act: readStreams,
  }),
  defineGuarded({
    ...CHANGE,
    method: "PATCH",
    path: SSF_PATHS.stream,
    summary: "SSF: change what is named of a stream",
    body: ssfStreamUpdate,
    answer: ssfStream,
    act: updateStream,
  }),
  defineGuarded({
    ...CHANGE,
    method: "PUT",
    path: SSF_PATHS.stream,
    summary: "SSF: replace what was asked of a stream",
    body: ssfStreamUpdate,
    answer: ssfStream,
    act: replaceStream,
  }),
  defineGuarded({
    ...CHANGE,
    method: "DELETE",
    path: SSF_PATHS.stream,
    summary: "SSF: take a stream away",
    query: ssfStreamNamed,
    answer: "raw",
    act: removeStream,
  }),
  defineGuarded({
    ...READ,
    method: "GET",
    path: SSF_PATHS.status,
    summary: "SSF: the status of a stream",
    query: ssfStreamNamed,
    answer: ssfStatus,
    act: readStreamStatus,
  }),
  defineGuarded({
    ...CHANGE,
    method: "POST",
    path: SSF_PATHS.status,
    summary: "SSF: enable, pause or disable a stream",
    body: ssfStatusRequest,
    answer: ssfStatus,
    act: changeStreamStatus,
  }),
  defineGuarded({
    ...SUBJECT,
    path: SSF_PATHS.add,
    summary: "SSF: tell about a subject again",
    act: addSubject,
  }),
  defineGuarded({
    ...SUBJECT,
    path: SSF_PATHS.remove,
    summary: "SSF: tell about a subject no more",
    act: removeSubject,
  }),
  defineGuarded({
    ...READ,
    method: "POST",
    path: SSF_PATHS.verification,
    summary: "SSF: have the stream verified",
    body: ssfVerificationRequest,
    answer: "raw",
    act: verifyStream,
  }),
  defineGuarded({
    ...READ,
    method: "POST",
    path: "/ssf/streams/:stream_id/poll",
    summary: "SSF: take security events, and ask for the next (RFC 8936)",
    params: ssfStreamNamed,
    body: ssfPollRequest,
    answer: ssfPollAnswer,
    act: pollStream,
  }),
];
