/** Rows for whoever looks at the whole: the tree of owners and agents, and what happens now. */
import { liveQuery, treeAnswer, treeQuery } from "@trustwarden/core/api/tree.ts";
import { watchLive } from "../acts/live.ts";
import { readTree } from "../acts/tree.ts";
import { defineGuarded, MAIN_AND_ADMIN, type Route } from "../route.ts";

/** Put on the table by `routes.ts`. */
export const WATCHING_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "GET",
    path: "/v1/tree",
    listeners: MAIN_AND_ADMIN,
    summary: "Owners and agents by name, a page at a time",
    access: ["owner", "operator"],
    recording: "single",
    query: treeQuery,
    answer: treeAnswer,
    action: () => "read:agents",
    // An owner's tree is cut to its own agents.
    subject: (_services, { caller }) => (caller.principal.kind === "operator" ? "none" : "self"),
    act: readTree,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/live",
    listeners: MAIN_AND_ADMIN,
    summary: "What happens now, as server-sent events: two frames a second",
    isBackground: true,
    access: ["owner", "operator"],
    recording: "single",
    query: liveQuery,
    answer: "raw",
    action: () => "read:ledger",
    // An owner's frames are cut to its own agents.
    subject: (_services, { caller }) => (caller.principal.kind === "operator" ? "none" : "self"),
    act: watchLive,
  }),
];
