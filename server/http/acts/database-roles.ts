/** Roles of databases: what of them is in use. */
import type { DatabaseRoleList } from "@trustwarden/core/api/database-roles.ts";
import type { Services } from "../services.ts";

export async function listDatabaseRoles({ databaseRoles }: Services): Promise<DatabaseRoleList> {
  return {
    roles: databaseRoles.list().map(({ upstream, name, template, instanceId, validUntil }) => ({
      upstream,
      role: name,
      template,
      instance_id: instanceId,
      valid_until: validUntil === null ? null : Math.floor(validUntil),
    })),
  };
}
