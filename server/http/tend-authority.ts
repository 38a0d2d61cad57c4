/** The steps of the authority that nobody asks for: rotation by age, and the first key of a kind that is switched on. */
import type { TokenKind } from "@trustwarden/core/agentid/authority-slots.ts";
import type { Announce, AuthorityKeeper, StepOrder } from "../authority/keeper.ts";
import { announceStep } from "./acts/authority.ts";
import { reasonOfSigner, toTrustWardenError } from "./errors.ts";
import type { Services } from "./services.ts";

/** Rotation by age, without a restart. */
export function tendAuthority(keeper: AuthorityKeeper, services: Services): void {
  keeper.tend(
    () => orderOf(services, "by age"),
    announceTo(services),
    (error) => {
      const failure = toTrustWardenError(error);
      const facts = { code: failure.code, ...reasonOfSigner(failure) };
      services.log.error(facts, "a planned step of the authority failed; it is tried again in a minute");
    },
  );
}

/** The first key of a kind, in use at once: no verifier has ever looked for one. Nothing where there is one. */
export function foundTokenKey(kind: TokenKind, keeper: AuthorityKeeper, services: Services): Promise<void> {
  return keeper.found(kind, orderOf(services, "switched on"), announceTo(services));
}

function orderOf({ clock }: Services, reason: string): StepOrder {
  return { context: { nowMs: clock.nowMs(), principal: "operator", peer: "local", intent: null }, reason };
}

function announceTo(services: Services): Announce {
  return async (committed, step) => void (await announceStep(services, committed, step));
}
