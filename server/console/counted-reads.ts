/** Counts what somebody reads of everybody's, before it leaves: of requests that come at once no more is delivered than of one after the other. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatPrincipal } from "@trustwarden/core/principal.ts";
import type { GuardedRoute, Visit } from "../http/route.ts";
import type { Services } from "../http/services.ts";
import { isConfirmed } from "./confirm.ts";
import { allowanceOf, countLines, isCounted, readRowOf } from "./reading-allowance.ts";

/** The same row, counted where it reads everybody's. */
export function countReads(route: GuardedRoute): GuardedRoute {
  const row = readRowOf(route);
  if (row === undefined) return route;
  const { lines } = row;
  return {
    ...route,
    act: async (services, visit) => {
      if (!isCounted(services, visit)) return route.act(services, visit);
      const kind = row.kind(visit);
      if (typeof lines === "number") {
        await count(services, visit, { kind, lines });
        return route.act(services, visit);
      }
      const answer = await route.act(services, visit);
      await count(services, visit, { kind, lines: countLines(answer, lines) });
      return answer;
    },
  };
}

/** @throws TrustWardenError `mass_export_unconfirmed` when the day's lines were used up meanwhile, `store_unavailable`. */
async function count(
  services: Services,
  visit: Visit,
  { kind, lines }: { readonly kind: "everybody" | "named"; readonly lines: number },
): Promise<void> {
  if (lines === 0) return;
  const principal = formatPrincipal(visit.caller.principal);
  const now = services.clock.trustedSeconds();
  const before = await services.commands.countReading({ principal, kind, lines, now });
  if (before[kind] < allowanceOf(services, kind) || isConfirmed(services, visit)) return;
  throw new TrustWardenError("mass_export_unconfirmed");
}
