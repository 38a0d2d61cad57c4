/** HTTP API: roles of databases that were made for agents. */
import { z } from "zod";

/** `GET /v1/database-roles` (operator): those that this server process knows of. */
export const databaseRoleList = z.object({
  roles: z.array(
    z.object({
      upstream: z.string(),
      role: z.string(),
      template: z.string(),
      instance_id: z.string(),
      valid_until: z.number().int().nullable().describe("Unix seconds"),
    }),
  ),
});
export type DatabaseRoleList = z.infer<typeof databaseRoleList>;
