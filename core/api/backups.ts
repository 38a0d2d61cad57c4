/** HTTP API: backups that are ordered from the server; what is in them is never sent. */
import { z } from "zod";

const backupId = z.string().regex(/^[0-9a-f]{32}$/);

/** `GET /v1/backups`, `POST /v1/backups` */
export const backupsAnswer = z.object({
  configured: z.boolean().describe("whether the server has a place and a recipient for them"),
  last: z
    .object({
      id: backupId.describe("its event in the ledger is of backup:<id>"),
      state: z.enum(["running", "made", "failed"]),
      ordered_at: z.number().int(),
      ended_at: z.number().int().nullable(),
      file: z.string().nullable().describe("name in the configured directory"),
      bytes: z.number().int().nullable(),
      size: z.number().int().nullable().describe("entries of the ledger in it"),
      code: z.string().nullable().describe("why it was not made"),
    })
    .nullable()
    .describe("the latest since the server's start"),
});
export type BackupsAnswer = z.infer<typeof backupsAnswer>;

/** `POST /v1/backups` */
export const backupRequest = z.strictObject({});
