/** Of `intake` in the configuration: how much agents may ask for, and how much may be on its way. */
import { availableParallelism } from "node:os";
import { z } from "zod";

/** One more thread than cores that are free brings nothing; this many is a large machine's. */
const MAX_THREADS = 32;

const rate = z.number().min(0.01).max(1_000_000);
const burst = z.number().int().min(1).max(10_000_000);

/** See docs/guides/limits.md. */
export const intakeSettings = z.strictObject({
  agent: z
    .strictObject({ perSecond: rate.default(1000), burst: burst.default(2000) })
    .prefault({})
    .describe("requests of one agent, all its instances together"),
  owner: z
    .strictObject({ perSecond: rate.default(4000), burst: burst.default(8000) })
    .prefault({})
    .describe("requests of all agents of one owner"),
  places: z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(4096)
    .describe("records that may be on their way into the ledger"),
  requests: z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(1024)
    .describe("requests and calls that may be on their way, when they are quick"),
  delayMs: z
    .number()
    .int()
    .min(1)
    .max(3_600_000)
    .default(150)
    .describe("how late the server's thread may come round before fewer requests are let in"),
  threads: z
    .number()
    .int()
    .min(0)
    .max(MAX_THREADS)
    .default(() => Math.min(availableParallelism(), MAX_THREADS))
    .describe("that check signatures of what is submitted in bulk; started when they are first needed"),
});
