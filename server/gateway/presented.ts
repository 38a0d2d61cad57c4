/**
 * Callers that sign no intent of ours: which kind of credential an `Authorization` header shows, and nothing else.
 *
 * One header, one kind, no fallback from the one to the other.
 */
import type { Services } from "../http/services.ts";
import type { CallArrival, GatewayCaller } from "./ports.ts";
import { authenticateToken, verifyShownToken } from "./presented-credentials.ts";
import { authenticateWit, hasWorkloadProof, verifyShownWit } from "./presented-wit.ts";

/** Proves what a request shows before its body is read; nothing is used up. @throws TrustWardenError as its kind. */
export function requireShown(
  services: Services,
  request: Pick<CallArrival, "method" | "target" | "headers" | "upstream">,
): void {
  if (hasWorkloadProof(request.headers)) verifyShownWit(services, request);
  else verifyShownToken(services, request);
}

/** The agent of a call that presents a credential; its proof is used up. @throws TrustWardenError as its kind. */
export function authenticatePresented(services: Services, arrival: CallArrival): Promise<GatewayCaller> {
  return hasWorkloadProof(arrival.headers)
    ? authenticateWit(services, arrival)
    : authenticateToken(services, arrival);
}
