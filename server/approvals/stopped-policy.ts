/**
 * Whether a policy that has a say was stopped.
 *
 * A decision of several policies has a digest of its own, which nobody stops: each of them is asked about, by the digest
 * that `warden policy show` names it by.
 */
import type { Policy } from "../opa/ports.ts";
import type { StopReads } from "../store/revocation-ports.ts";

/** Of a stop that is everybody's. */
const NOBODY = "";

/** The part of the services that knows. */
export interface PolicyStops {
  readonly policy: Pick<Policy, "references">;
  readonly reads: StopReads;
}

/** True while one stopped policy is in force; another one, put in force, makes it false. */
export function isPolicyStopped({ policy, reads }: PolicyStops): boolean {
  return policy.references.some(({ bundleSha256: id }) =>
    reads.isStopped({ kind: "policy", id, ownerId: NOBODY }),
  );
}
