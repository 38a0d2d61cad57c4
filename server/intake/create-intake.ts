/** What stands before the ledger: limits of who asks, places for what is on its way, threads that check signatures. */
import type { Parts } from "../parts.ts";
import { Admission } from "./admission.ts";
import { createThreadLane } from "./check-lane.ts";
import { RateLimits } from "./rate-limits.ts";
import { SignatureChecks } from "./signature-checks.ts";

/** The three, as the routes use them. */
export interface Intake {
  readonly limits: RateLimits;
  readonly admission: Admission;
  readonly checks: SignatureChecks;
}

/** Nothing is started yet. */
export function createIntake({ config, clock, log }: Pick<Parts, "config" | "clock" | "log">): Intake {
  const { agent, owner, places, threads } = config.intake;
  const onLost = () => log.error({ code: "internal" }, "a thread that checks signatures has ended");
  return {
    limits: new RateLimits({ agent, owner, monoMs: () => clock.monoMs() }),
    admission: new Admission(places),
    checks: new SignatureChecks({ threads, createThread: createThreadLane, onLost }),
  };
}
