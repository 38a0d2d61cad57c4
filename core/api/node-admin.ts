/** The admin socket of a node's daemon: why a process has an identity, or has none. */
import { z } from "zod";

/** `GET /explain?pid=<n>` */
export const explainAnswer = z.object({
  pid: z.number().int(),
  node: z.string().describe("the host's name"),
  exe: z.string(),
  selectors: z.array(z.string()).describe("what was attested"),
  entries: z
    .array(
      z.object({
        entry_id: z.string(),
        path: z.string(),
        name: z.string(),
        matches: z.boolean(),
        missing: z.array(z.string()).describe("selectors that the process has not"),
        refused: z.string().nullable().describe("code for which the entry is used for nobody"),
      }),
    )
    .describe("matches first, then the nearest"),
  instances: z.array(
    z.object({
      spiffe_id: z.string(),
      instance_id: z.string(),
      svid_expires_at: z.number().int().describe("Unix seconds"),
    }),
  ),
});
export type ExplainAnswer = z.infer<typeof explainAnswer>;
