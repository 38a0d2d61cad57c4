/**
 * The `witnesses` section of the server's configuration: who countersigns the ledger's checkpoints. Without it the
 * ledger is unwitnessed, and says so.
 */
import { z } from "zod";

/** Closed: a setting that is not known is refused. */
export const witnessSettings = z.strictObject({
  /** C2SP tlog-policy, with a URL for each witness that is to be asked. */
  policyFile: z.string().min(1).max(4096),
  /**
   * What a start does when the witnesses that do not answer could among them have made a quorum, so that a newer
   * checkpoint than ours may be out: see docs/decisions/0030-witnesses.md.
   */
  whenSilent: z.enum(["refuse", "start"]).default("refuse"),
  /**
   * Whether a witness on another machine may be asked without TLS. Its word is signed, but not how new it is: whoever is
   * on the way can show a starting server an older note.
   */
  plainHttp: z.enum(["refuse", "allow"]).default("refuse"),
  /** A witness is asked at most this often. */
  intervalMs: z.number().int().min(10).max(3_600_000).default(1000),
  /** For one request. */
  timeoutMs: z.number().int().min(100).max(60_000).default(5000),
});
export type WitnessSettings = z.output<typeof witnessSettings>;
