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

type Visiting = Pick<Question, "arrival" | "caller">;

/** Whether a question waits for a second admin, by whom it is asked. */
export function needsConfirmation(services: Services, route: GuardedRoute, question: Question): boolean {
  const { kind } = question.caller.principal;
  const isBound = kind === "person" || (kind === "operator" && services.people.isSocketConfirmed);
  return isBound && route.needsConfirmation?.(services, question) === true;
}

/**
 * Uses up the confirmation that came with a request.
 *
 * @throws TrustWardenError `confirmation_required`, `confirmation_pending`, `confirmation_invalid`, `second_admin_required`.
 */
export async function requireConfirmed(services: Services, visiting: Visiting): Promise<void> {
  const { arrival } = visiting;
  const id = confirmationIdOf(arrival);
  if (id === undefined) throw new TrustWardenError("confirmation_required");
  const context = contextOf(services, visiting);
  const salt = services.reads.findConfirmation(id)?.salt ?? "";
  const confirmation = { change: "use", id, digest: digestOf(arrival, salt) } as const;
  const used = await services.commands.changePeople({ change: "confirmation", confirmation, context });
  await services.ledger.settle(used);
}

/** Who stands behind a request, as principals: who asked, and who confirmed exactly that; a word on another request names nobody. */
export function standingBehind({ reads }: Pick<Services, "reads">, { arrival, caller }: Visiting): string {
  const asker = formatPrincipal(caller.principal);
  const id = confirmationIdOf(arrival);
  const found = id === undefined ? undefined : reads.findConfirmation(id);
  const isUsed = found !== undefined && found.askedBy === asker && found.usedAt !== null;
  const isIts = isUsed && found.digest === digestOf(arrival, found.salt);
  return isIts && found.answeredBy !== null ? `${asker} person:${found.answeredBy}` : asker;
}

function digestOf({ method, target, rawBody }: Arrival, salt: string): string {
  return digestOfRequest({ method, target, body: rawBody, salt });
}

function confirmationIdOf({ headers }: Arrival): string | undefined {
  const id = headers[CONFIRMATION_HEADER];
  return typeof id === "string" ? id : undefined;
}
