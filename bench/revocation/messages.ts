/** What the run and its verifier processes say to each other. */
import { z } from "zod";

/** From the run to a verifier process. */
export const order = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("open"),
    /** Of the verifiers that are watched; each holds a lease of its own. */
    tickets: z.array(z.string()),
    /** In place of those whose enrolment was not answered in time. */
    spares: z.array(z.string()),
    /** Leases in all, shared among the tickets: ten thousand identities would measure the enrolment. */
    leases: z.number().int(),
    /** Whom the leases are asked of; relays unless it is the server. */
    origins: z.array(z.string()),
    areRelays: z.boolean(),
    beatMs: z.number().int(),
    /** No more in a second: what opening costs is taken from those who beat already. 0 for as fast as it goes. */
    perSecond: z.number(),
  }),
  /** A service is visited from now on, without end. */
  z.object({
    kind: z.literal("serve"),
    serviceTicket: z.string(),
    visitorTicket: z.string(),
    /** Between two visits. */
    pauseMs: z.number().int(),
  }),
  /** Resolves when every verifier has a lease. */
  z.object({ kind: z.literal("recover") }),
  /** Try from now on, at each verifier, to act on a decision of this moment about these ids. */
  z.object({ kind: z.literal("watch"), ids: z.array(z.string()), everyMs: z.number().int() }),
  /** Say when it last succeeded. */
  z.object({ kind: z.literal("report"), isLast: z.boolean() }),
]);
export type Order = z.infer<typeof order>;

/** From a verifier process to the run. */
export const answer = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("done") }),
  z.object({
    kind: z.literal("report"),
    /**
     * Of each verifier, the machine's monotonic nanoseconds before and after the last check that allowed, and when the next
     * one had refused, before which it may have allowed; null while none has.
     */
    lastAllows: z.array(
      z.object({ before: z.string(), after: z.string(), until: z.string().nullable() }).nullable(),
    ),
    /** Guarded visits since the start: allowed, and refused for any reason. */
    visits: z.number().int(),
    refusedVisits: z.number().int(),
    /** Processor time of this process since its start, milliseconds. */
    processorMs: z.number(),
  }),
]);
export type Answer = z.infer<typeof answer>;
export type ReportAnswer = Extract<Answer, { kind: "report" }>;
