/** HTTP API: stop and narrow. */
import { z } from "zod";

/** What can be revoked. `agent` and `instance` include their subtree. */
export const revocationTarget = z.strictObject({
  kind: z.enum(["instance", "agent", "owner", "job", "key", "policy", "everything"]),
  id: z
    .string()
    .min(1)
    .max(2048)
    .describe(
      "inst-…, agt_… or own_…; a job as intents name it; the base64url SHA-256 of a key's SPKI or of a policy's bundle; " +
        "* for everything. A full SPIFFE ID is taken for an instance",
    ),
});

/** `POST /v1/revocations` (agent on itself and its subtree, owner, operator), on every listener */
export const revocationRequest = z.strictObject({
  target: revocationTarget,
  reason: z.string().max(256).default(""),
});
export type RevocationRequest = z.input<typeof revocationRequest>;

/** Returned when every live lease has acknowledged the epoch or expired: the caller knows. */
export const revocationAnswer = z.object({
  epoch: z.number().int(),
  instances: z.number().int().describe("live instances that died by this"),
  acked: z.number().int().describe("verifiers that acknowledged the epoch"),
  expired: z.number().int().describe("verifiers whose lease ran out instead"),
  behind_relays: z
    .object({ acked: z.number().int(), expired: z.number().int() })
    .default({ acked: 0, expired: 0 })
    .describe("the same of leases behind relays, as the relays say; a relay counts above as one"),
  elapsed_ms: z.number(),
  stopped_by: z.string().describe("RFC 3339: no verifier allows after this instant"),
  event_id: z.string(),
  recorded: z.boolean().describe("false: in force, but the ledger could not record it yet"),
});
export type RevocationAnswer = z.infer<typeof revocationAnswer>;

/** `POST /v1/narrowings` (owner, ancestor, operator): replaces an instance's scope by a subset; takes an epoch. */
export const narrowingRequest = z.strictObject({
  instance_id: z.string().min(1).max(256),
  scope: z.array(z.string()).max(64),
});
export type NarrowingRequest = z.infer<typeof narrowingRequest>;
export const narrowingAnswer = revocationAnswer.extend({ scope: z.array(z.string()) });
export type NarrowingAnswer = z.infer<typeof narrowingAnswer>;

/** `GET /v1/leases` (operator): who holds a lease, and which changes somebody still has to acknowledge. */
export const leasesAnswer = z.object({
  epoch: z.number().int(),
  leases: z.number().int().describe("connections to this server: verifiers, nodes, launchers, relays"),
  behind_relays: z.number().int().describe("leases that relays gave on, as the relays say"),
  changes: z.array(
    z.object({
      epoch: z.number().int(),
      left: z.number().int().describe("leases that have neither acknowledged nor run out"),
      left_behind_relays: z.number().int(),
      acked: z.number().int(),
      expired: z.number().int(),
    }),
  ),
});
export type LeasesAnswer = z.infer<typeof leasesAnswer>;
