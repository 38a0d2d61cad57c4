/**
 * The one middleware: every row of the route table is served through here, and every guarded one through the path.
 */
import { guard } from "@trustwarden/core/guard.ts";
import { answerDecision } from "./acts/decisions.ts";
import type { Arrival } from "./arrival.ts";
import { createControlPorts, questionOf } from "./control-ports.ts";
import type { GuardedRoute, Route, Visit } from "./route.ts";
import type { Services } from "./services.ts";

/** The answer of a route to one arrival. @throws TrustWardenError whatever the path or the act is stopped by. */
export async function serve(services: Services, route: Route, arrival: Arrival): Promise<unknown> {
  if (route.access === "public") return route.act(services, arrival.params);
  if (route.recording === "decision") return answerDecision(services, route, arrival);
  return serveGuarded(services, { route, arrival, act: (visit) => route.act(services, visit) });
}

/** Walks the path around one act of the control plane. */
export function serveGuarded<Answer>(
  services: Services,
  visiting: {
    readonly route: GuardedRoute;
    readonly arrival: Arrival;
    readonly act: (visit: Visit) => Promise<Answer>;
  },
): Promise<Answer> {
  const { route, arrival, act } = visiting;
  return guard(createControlPorts(services, route), arrival, ({ principal, decision }) =>
    act({ ...questionOf(arrival, principal), decision }),
  );
}
