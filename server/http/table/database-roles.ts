/** Rows about roles of databases. Agents ask for them through the gateway: see `server/gateway/postgresql/`. */
import { databaseRoleList } from "@trustwarden/core/api/database-roles.ts";
import { listDatabaseRoles } from "../acts/database-roles.ts";
import { ADMIN_ONLY, defineGuarded, type Route } from "../route.ts";

/** Put on the table by `routes.ts`. */
export const DATABASE_ROLES_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "GET",
    path: "/v1/database-roles",
    listeners: ADMIN_ONLY,
    summary: "Roles of databases that were made for agents and are in use",
    access: ["operator"],
    recording: "single",
    answer: databaseRoleList,
    action: () => "read:secrets",
    subject: () => "none",
    act: listDatabaseRoles,
  }),
];
