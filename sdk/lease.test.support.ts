/** What tests ask of a lease. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { PendingAct } from "@trustwarden/core/revocation/view.ts";
import type { Lease } from "./lease.ts";

/** What a verifier would say about an act now: `allowed`, or the code of its refusal. */
export function verdict(lease: Lease, act: PendingAct): string {
  try {
    lease.requireFresh();
    lease.requireUntouched(act);
    return "allowed";
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
}
