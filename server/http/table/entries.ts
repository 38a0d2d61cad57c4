/** Rows about registration entries. */
import { entryAnswer, entryList, entryQuery, entryRequest } from "@trustwarden/core/api/registration.ts";
import { z } from "zod";
import { createEntry, listEntries, removeEntry } from "../acts/entries.ts";
import { relationOf } from "../relation.ts";
import { defineGuarded, MAIN_AND_ADMIN, type Route } from "../route.ts";

const entryPath = z.object({ id: z.string().min(1).max(64) });

/** Put on the table by `routes.ts`. */
export const ENTRIES_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "POST",
    path: "/v1/entries",
    listeners: MAIN_AND_ADMIN,
    summary: "Register a signed entry, or admit nodes",
    access: ["owner", "operator"],
    recording: "with_state",
    body: entryRequest,
    answer: entryAnswer,
    action: () => "create:entry",
    // Whose entry it is stands in the signed document; the act refuses another's.
    subject: (_services, { caller }) => (caller.principal.kind === "operator" ? "none" : "self"),
    act: createEntry,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/entries",
    listeners: MAIN_AND_ADMIN,
    summary: "Registration entries",
    access: ["owner", "operator"],
    recording: "single",
    query: entryQuery,
    answer: entryList,
    action: () => "read:entries",
    // An owner's list is cut to its own.
    subject: (_services, { caller }) => (caller.principal.kind === "operator" ? "none" : "self"),
    act: listEntries,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/entries/:id/removal",
    listeners: MAIN_AND_ADMIN,
    summary: "Remove a registration entry",
    access: ["owner", "operator"],
    recording: "with_state",
    params: entryPath,
    answer: entryAnswer,
    action: () => "remove:entry",
    subject: ({ reads }, { caller, params }) =>
      relationOf(reads, caller.principal, { kind: "entry", id: params.id }),
    act: removeEntry,
  }),
];
