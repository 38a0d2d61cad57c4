/**
 * Whether this server came back by a restore that two admins have not agreed to yet. It then allows nothing.
 *
 * @see docs/decisions/0104-a-restore-waits-for-two-admins.md
 */
import type { RestoreReads } from "../store/restore-ports.ts";

/** True from such a restore until it is agreed to. */
export function isHeld({ reads }: { readonly reads: RestoreReads }): boolean {
  return reads.restore()?.isHeld === true;
}
