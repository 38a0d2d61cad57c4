/**
 * The one middleware: every row of the route table is served through here, and every guarded one through the path.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { guard } from "@trustwarden/core/guard.ts";
import { observePath } from "../metrics/observe.ts";
import { requireCurrent } from "../shared/sharing.ts";
import { answerDecision } from "./acts/decisions.ts";
import type { Arrival } from "./arrival.ts";
import { createControlPorts, questionOf } from "./control-ports.ts";
import { formatRoute, type GuardedRoute, type Route, type Visit } from "./route.ts";
import type { Services } from "./services.ts";
import { partsOf, serveSeveral } from "./several.ts";

/** The answer of a route to one arrival, counted. @throws TrustWardenError whatever the path or the act is stopped by. */
export async function serve(services: Services, route: Route, arrival: Arrival): Promise<unknown> {
  const { figures, tracer } = services.meter;
  const name = formatRoute(route);
  tracer?.begin(arrival, { name, listener: arrival.listener, traceparent: arrival.headers.traceparent });
  let end = "failed";
  let code: string | undefined;
  try {
    const answered = await answer(services, route, arrival);
    end = "answered";
    return answered;
  } catch (error) {
    if (error instanceof TrustWardenError) code = error.code;
    if (error instanceof TrustWardenError && error.status < 500) end = "refused";
    throw error;
  } finally {
    figures.requests.add({ route: name, end });
    tracer?.end(arrival, { result: end, code });
  }
}

async function answer(services: Services, route: Route, arrival: Arrival): Promise<unknown> {
  const isPublic = route.access === "public";
  if (services.sharing.isShared && (!isPublic || route.isShared === true)) await requireCurrent(services);
  if (isPublic) return route.act(services, arrival.params, arrival.headers);
  if (route.recording === "decision") return answerDecision(services, route, arrival);
  const parts = partsOf(route, arrival.body);
  if (parts !== undefined) return serveSeveral(services, { route, arrival, parts });
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
  const ports = observePath(services.meter, "control", createControlPorts(services, route));
  return guard(ports, arrival, ({ principal, decision }) =>
    act({ ...questionOf(arrival, principal), decision }),
  );
}
