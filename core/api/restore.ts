/** HTTP API: the restore that a server came back by, and the two admins who agree to it. */
import { z } from "zod";

const restoreId = z.string().regex(/^rst_[0-9a-f]{32}$/);

/** `GET /v1/restore` */
export const restoreAnswer = z.object({
  restore: z
    .object({
      id: restoreId,
      restored_at: z.number().int().describe("Unix seconds"),
      outcome: z.enum(["proven", "void"]).describe("void: whatever was alive in the backup was ended"),
      backup: z.string().nullable().describe("its event is of backup:<id>"),
      restored_by: z.string().describe("account of the host, uid:…"),
      admins: z.number().int().describe("with a passkey, as the backup and the ledger at hand knew them"),
      held: z.boolean().describe("nothing is issued or allowed until two of them agree"),
    })
    .nullable()
    .describe("null where no restore made this server's state"),
});
export type RestoreAnswer = z.infer<typeof restoreAnswer>;

/** `POST /v1/restore/release`: names the restore, so that what a second admin confirms is this one and no later one. */
export const releaseRequest = z.strictObject({ restore: restoreId });
export type ReleaseRequest = z.infer<typeof releaseRequest>;
