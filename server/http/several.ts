/**
 * One request that brings several bodies of one row, such as renewals that fall due together on one host.
 *
 * Its caller is proven once, and each part then walks the path as if it had come alone: decided about, recorded, looked at once more
 * and done by itself. What becomes of one says nothing of the others, so each has an answer or a refusal of its own.
 */
import { publicError } from "@trustwarden/core/error.ts";
import { guard } from "@trustwarden/core/guard.ts";
import { observePath } from "../metrics/observe.ts";
import { withNextNonce } from "./acts/identity.ts";
import type { Arrival } from "./arrival.ts";
import type { Caller } from "./caller.ts";
import { createControlPorts, questionOf } from "./control-ports.ts";
import { logFailure, toTrustWardenError } from "./errors.ts";
import { formatRoute, type GuardedRoute, type HeadedAnswer } from "./route.ts";
import type { Services } from "./services.ts";
import { SharedNonce } from "./used-once.ts";

/** The parts of a body; undefined for a body of the row itself. */
export function partsOf({ several }: GuardedRoute, body: unknown): readonly unknown[] | undefined {
  if (several === undefined || typeof body !== "object" || body === null) return undefined;
  const parts: unknown = Reflect.get(body, several.member);
  return Array.isArray(parts) ? parts : undefined;
}

/** The answer to all parts. @throws TrustWardenError when the caller is not proven; whatever stops one part is in its answer. */
export async function serveSeveral(
  services: Services,
  {
    route,
    arrival,
    parts,
  }: { readonly route: GuardedRoute; readonly arrival: Arrival; readonly parts: readonly unknown[] },
): Promise<HeadedAnswer> {
  const caller = await portsOf(services, route).authenticate(arrival);
  const nonce = new SharedNonce();
  const answers = await Promise.all(
    parts.map((body) => servePart(services, { route, arrival: { ...arrival, body, nonce }, caller })),
  );
  return withNextNonce(services, { [route.several?.member ?? ""]: answers });
}

async function servePart(
  services: Services,
  {
    route,
    arrival,
    caller,
  }: { readonly route: GuardedRoute; readonly arrival: Arrival; readonly caller: Caller },
): Promise<unknown> {
  try {
    // Owners have their turns by parts: a request of many must not take the time of as many.
    await arrival.place.turn();
    const ports = { ...portsOf(services, route), authenticate: async () => caller };
    return await guard(ports, arrival, ({ decision }) =>
      route.act(services, { ...questionOf(arrival, caller), decision }),
    );
  } catch (error) {
    // Safe: nothing of this part was done, and its answer says so. A bug is told in the log, as of a request of its own.
    const failure = toTrustWardenError(error);
    logFailure(services.log, formatRoute(route), failure);
    return publicError(failure);
  }
}

/** One set walks one path. */
function portsOf(services: Services, route: GuardedRoute) {
  return observePath(services.meter, "control", createControlPorts(services, route));
}
