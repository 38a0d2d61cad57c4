/** Where a command comes from, as its event will say it. */
import { formatPrincipal } from "@trustwarden/core/principal.ts";
import type { CommandContext } from "../store/ports.ts";
import type { Visit } from "./route.ts";
import type { Services } from "./services.ts";

/** The context of a command that this visit runs. */
export function contextOf(
  { clock }: Pick<Services, "clock">,
  { caller, arrival }: Pick<Visit, "caller" | "arrival">,
): CommandContext {
  const { intent } = caller;
  return {
    nowMs: clock.nowMs(),
    principal: formatPrincipal(caller.principal),
    peer: arrival.peer,
    intent:
      intent === null
        ? null
        : { envelope: intent.envelope, sha256: intent.sha256, eventId: intent.intent.event_id },
  };
}

/**
 * The instant of a command in Unix seconds, for checking what is signed by the very instant that its event will have: by any
 * other, a signer who aims at the end of its document would have the ledger say that it was taken in too late.
 *
 * @throws TrustWardenError `clock_rolled_back`.
 */
export function trustedSecondsOf(
  { clock }: Pick<Services, "clock">,
  { nowMs }: Pick<CommandContext, "nowMs">,
): number {
  clock.trustedSeconds();
  return Math.floor(nowMs / 1000);
}
