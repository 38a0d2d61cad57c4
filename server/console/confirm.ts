/**
 * The step of the path for what nobody does alone: a request that waits for a second admin is let through once, when exactly it
 * was confirmed.
 */
import { CONFIRMATION_HEADER, digestOfRequest } from "@trustwarden/core/confirmation.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatPrincipal } from "@trustwarden/core/principal.ts";
import type { Arrival } from "../http/arrival.ts";
import { contextOf } from "../http/command-context.ts";
import type { GuardedRoute, Question } from "../http/route.ts";
import type { Services } from "../http/services.ts";
import { isBeyondAllowance } from "./reading-allowance.ts";

type Visiting = Pick<Question, "arrival" | "caller">;

/** What a question is refused with until a second admin has confirmed it; null for one that waits for nobody. */
export function whyConfirmed(
  services: Services,
  route: GuardedRoute,
  question: Question,
): "confirmation_required" | "mass_export_unconfirmed" | null {
  if (needsConfirmation(services, route, question)) return "confirmation_required";
  return isBeyondAllowance(services, route, question) ? "mass_export_unconfirmed" : null;
}

function needsConfirmation(services: Services, route: GuardedRoute, question: Question): boolean {
  const { kind } = question.caller.principal;
  const isBound = kind === "person" || (kind === "operator" && services.people.isSocketConfirmed);
  return isBound && route.needsConfirmation?.(services, question) === true;
}

/**
 * Uses up the confirmation that came with a request.
 *
 * @param without - what it is refused with when none came.
 * @throws TrustWardenError that, `confirmation_pending`, `confirmation_invalid`, `second_admin_required`.
 */
export async function requireConfirmed(
  services: Services,
  visiting: Visiting,
  without: NonNullable<ReturnType<typeof whyConfirmed>>,
): Promise<void> {
  const { arrival } = visiting;
  const id = confirmationIdOf(arrival);
  if (id === undefined) throw new TrustWardenError(without);
  const context = contextOf(services, visiting);
  const salt = services.reads.findConfirmation(id)?.salt ?? "";
  const confirmation = { change: "use", id, digest: digestOf(arrival, salt) } as const;
  const used = await services.commands.changePeople({ change: "confirmation", confirmation, context });
  await services.ledger.settle(used);
}

/** Who stands behind a request, as principals: who asked, and who confirmed exactly that; a word on another request names nobody. */
export function standingBehind(services: Pick<Services, "reads">, visiting: Visiting): string {
  const asker = formatPrincipal(visiting.caller.principal);
  const confirmedBy = confirmerOf(services, visiting);
  return confirmedBy === null ? asker : `${asker} person:${confirmedBy}`;
}

/** Whether another admin's word on exactly this request was used up for it. */
export function isConfirmed(services: Pick<Services, "reads">, visiting: Visiting): boolean {
  return confirmerOf(services, visiting) !== null;
}

function confirmerOf({ reads }: Pick<Services, "reads">, { arrival, caller }: Visiting): string | null {
  const id = confirmationIdOf(arrival);
  const found = id === undefined ? undefined : reads.findConfirmation(id);
  const isUsed =
    found !== undefined && found.askedBy === formatPrincipal(caller.principal) && found.usedAt !== null;
  return isUsed && found.digest === digestOf(arrival, found.salt) ? found.answeredBy : null;
}

function digestOf({ method, target, rawBody }: Arrival, salt: string): string {
  return digestOfRequest({ method, target, body: rawBody, salt });
}

function confirmationIdOf({ headers }: Arrival): string | undefined {
  const id = headers[CONFIRMATION_HEADER];
  return typeof id === "string" ? id : undefined;
}
