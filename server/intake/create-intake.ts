/** What stands before the ledger: places for requests and for records on their way, limits of who asks, threads that check signatures. */
import type { Socket } from "node:net";
import type { Parts } from "../parts.ts";
import { Admission } from "./admission.ts";
import { createThreadLane } from "./check-lane.ts";
import { OpenStreams } from "./open-streams.ts";
import { Pace } from "./pace.ts";
import { RateLimits } from "./rate-limits.ts";
import { type OnRefused, type RequestFlow, RequestPlaces } from "./request-places.ts";
import { SignatureChecks } from "./signature-checks.ts";

/** As the routes use them. */
export interface Intake {
  readonly requests: RequestPlaces;
  readonly streams: OpenStreams;
  readonly limits: RateLimits;
  readonly admission: Admission;
  readonly checks: SignatureChecks;
}

/** Nothing is started yet. */
export function createIntake(
  { config, clock, log }: Pick<Parts, "config" | "clock" | "log">,
  onRefused: OnRefused,
  recognise: (socket: Socket) => RequestFlow | undefined,
): Intake {
  const { agent, owner, places, threads, requests, delayMs } = config.intake;
  const monoMs = () => clock.monoMs();
  const onLost = () => log.error({ code: "internal" }, "a thread that checks signatures has ended");
  return {
    requests: new RequestPlaces(new Pace({ most: requests, delayMs, monoMs }), onRefused, recognise),
    streams: new OpenStreams(),
    limits: new RateLimits({ agent, owner, monoMs }),
    admission: new Admission(places),
    checks: new SignatureChecks({ threads, createThread: createThreadLane, onLost }),
  };
}
