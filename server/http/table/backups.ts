/** Rows about backups that are ordered from the server. */
import { backupRequest, backupsAnswer } from "@trustwarden/core/api/backups.ts";
import { orderBackup, showBackups } from "../acts/backups.ts";
import { ADMIN_ONLY, defineGuarded, type Route } from "../route.ts";

/** Put on the table by `routes.ts`. */
export const BACKUP_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "GET",
    path: "/v1/backups",
    listeners: ADMIN_ONLY,
    summary: "Whether backups can be ordered here, and what came of the latest",
    access: ["operator"],
    recording: "single",
    answer: backupsAnswer,
    action: () => "read:status",
    subject: () => "none",
    act: showBackups,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/backups",
    listeners: ADMIN_ONLY,
    summary: "Order a backup, sealed to the configured recipient and written to the configured place",
    access: ["operator"],
    recording: "single",
    kind: "admin",
    body: backupRequest,
    answer: backupsAnswer,
    action: () => "create:backup",
    subject: () => "none",
    act: orderBackup,
  }),
];
