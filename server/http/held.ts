/**
 * What a restored server serves while two admins have not agreed to the restore: stops, health, whatever is read, and what leads to
 * their word. It issues and allows nothing, so that a restore that nobody wanted brings nobody back.
 *
 * The list is closed: what is not on it waits.
 *
 * @see docs/decisions/0104-a-restore-waits-for-two-admins.md
 */
import { isHeld } from "../approvals/held.ts";
import type { RestoreReads } from "../store/restore-ports.ts";
import type { Caller } from "./caller.ts";
import { formatRoute, type GuardedRoute } from "./route.ts";

/** How admins come in, ask and answer. */
const OPEN_ROWS: readonly string[] = [
  "POST /v1/people",
  "POST /v1/session",
  "POST /v1/session/end",
  "POST /v1/confirmations",
  "POST /v1/confirmations/:id/answer",
  "POST /v1/restore/release",
];
/** Where passkeys were lost, new ones come by links of the host's operator, and count after a day. */
const LINKS = "POST /v1/people/links";

/** Whether a row waits for two admins, asked by this caller. */
export function isHeldBack(
  services: { readonly reads: RestoreReads },
  route: GuardedRoute,
  { principal }: Caller,
): boolean {
  if (!isHeld(services)) return false;
  // Leases are upgrades of a GET: whoever hears stops goes on to hear them. An outcome tells of what was allowed before.
  if (route.method === "GET" || route.isStopLane || route.recording === "outcome") return false;
  const row = formatRoute(route);
  return row === LINKS ? principal.kind !== "operator" : !OPEN_ROWS.includes(row);
}
