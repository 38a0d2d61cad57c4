/** Rows about the restore that this server came back by. */
import { releaseRequest, restoreAnswer } from "@trustwarden/core/api/restore.ts";
import { releaseRestore, showRestore } from "../acts/restore.ts";
import { ADMIN_ONLY, CONSOLE_ONLY, defineGuarded, type Route } from "../route.ts";

/** Put on the table by `routes.ts`. */
export const RESTORE_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "GET",
    path: "/v1/restore",
    listeners: ADMIN_ONLY,
    summary: "The restore that this server came back by, and whether two admins still have to agree to it",
    access: ["operator"],
    recording: "single",
    answer: restoreAnswer,
    action: () => "read:status",
    subject: () => "none",
    act: showRestore,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/restore/release",
    // Whoever restores has the socket: its word is the one that is not enough.
    listeners: CONSOLE_ONLY,
    summary:
      "Agree, with a second admin, that this restore was wanted: from now on the server issues and allows",
    access: ["person"],
    roles: ["admin"],
    recording: "with_state",
    body: releaseRequest,
    answer: restoreAnswer,
    action: () => "update:restore",
    subject: () => "none",
    act: releaseRestore,
  }),
];
