/** What the run and its verifier processes say to each other. */
import { z } from "zod";

/** From the run to a verifier process. */
export const order = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("open"),
    /** Of the verifiers that are watched; each holds a lease of its own. */
    tickets: z.array(z.string()),
    /** Leases of each of them: ten thousand identities would measure the enrolment. */
    leasesEach: z.number().int(),
    /** Origins of relays; none for the server itself. */
    relays: z.array(z.string()),
    /** Of the service that is visited without pause, and of its visitor. */
    serviceTicket: z.string(),
    visitorTicket: z.string(),
  }),
  /** Try from now on, at each verifier, to act on a decision of this moment about these ids. */
  z.object({ kind: z.literal("watch"), ids: z.array(z.string()), everyMs: z.number().int() }),
  /** Stop trying and say when it last succeeded. */
  z.object({ kind: z.literal("report") }),
]);
export type Order = z.infer<typeof order>;

/** From a verifier process to the run. */
export const answer = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("opened") }),
  z.object({ kind: z.literal("watching") }),
  z.object({
    kind: z.literal("report"),
    /** Of each verifier, the machine's monotonic nanoseconds before and after the last check that allowed. */
    lastAllows: z.array(z.object({ before: z.string(), after: z.string() }).nullable()),
    /** Guarded visits since the start: allowed, and refused for any reason. */
    visits: z.number().int(),
    refusedVisits: z.number().int(),
  }),
]);
export type Answer = z.infer<typeof answer>;
