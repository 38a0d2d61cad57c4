/** Rows that read the ledger. */
import {
  consistencyAnswer,
  consistencyQuery,
  eventAnswer,
  eventPage,
  eventQuery,
  evidenceQuery,
  tailAnswer,
  tailQuery,
} from "@trustwarden/core/api/ledger.ts";
import { z } from "zod";
import { readConsistency, searchEvents, showEvent } from "../acts/events.ts";
import { makeEvidence } from "../acts/evidence.ts";
import { readTile } from "../acts/public.ts";
import { readTail } from "../acts/tail.ts";
import { ADMIN_ONLY, defineGuarded, MAIN_AND_ADMIN, type Route } from "../route.ts";

const tilePath = z.object({ "*": z.string().max(128) });
const eventPath = z.object({ event_id: z.string().min(1).max(64) });

/** Put on the table by `routes.ts`. */
export const LEDGER_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "GET",
    path: "/v1/events",
    listeners: MAIN_AND_ADMIN,
    summary: "Search the ledger",
    access: ["agent", "owner", "operator"],
    recording: "single",
    query: eventQuery,
    answer: eventPage,
    action: () => "read:ledger",
    // What the caller may see is cut out of the answer: itself and what is below it.
    subject: (_services, { caller }) => (caller.principal.kind === "operator" ? "none" : "self"),
    act: searchEvents,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/events/:event_id",
    listeners: MAIN_AND_ADMIN,
    summary: "One event, its records, and their proofs",
    access: ["agent", "owner", "operator"],
    recording: "single",
    params: eventPath,
    answer: eventAnswer,
    action: () => "read:ledger",
    subject: (_services, { caller }) => (caller.principal.kind === "operator" ? "none" : "self"),
    act: showEvent,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/evidence",
    listeners: MAIN_AND_ADMIN,
    summary: "One file that proves an event, an agent's history, a job or a time range offline",
    access: ["owner", "operator"],
    recording: "single",
    query: evidenceQuery,
    answer: "raw",
    // With payloads it is reading them, for whoever may do so one by one.
    action: ({ query }) => (query.payloads === "true" ? "read:payload" : "read:ledger"),
    subject: (_services, { caller, query }) =>
      caller.principal.kind === "operator" || query.payloads === "true" ? "none" : "self",
    act: makeEvidence,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/ledger/tail",
    listeners: ADMIN_ONLY,
    summary: "What was recorded from an index on",
    access: ["operator"],
    recording: "single",
    query: tailQuery,
    answer: tailAnswer,
    action: () => "read:ledger",
    subject: () => "none",
    act: readTail,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/ledger/consistency",
    listeners: MAIN_AND_ADMIN,
    summary: "Proof that one tree head grew out of another",
    access: ["agent", "owner", "operator"],
    recording: "single",
    query: consistencyQuery,
    answer: consistencyAnswer,
    action: () => "read:ledger",
    subject: (_services, { caller }) => (caller.principal.kind === "operator" ? "none" : "self"),
    act: readConsistency,
  }),
  defineGuarded({
    method: "GET",
    path: "/ledger/tile/entries/*",
    listeners: ADMIN_ONLY,
    summary: "Entry bundles, for export",
    access: ["operator"],
    recording: "single",
    params: tilePath,
    answer: "raw",
    action: () => "read:ledger",
    subject: () => "none",
    act: (services, { params }) => readTile(services, { path: `entries/${params["*"]}`, isEntries: true }),
  }),
];
