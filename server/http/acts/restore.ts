/** The restore that a server came back by: seen by whoever may read, agreed to by two admins. */
import type { ReleaseRequest, RestoreAnswer } from "@trustwarden/core/api/restore.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { standingBehind } from "../../console/confirm.ts";
import { personOf } from "../caller.ts";
import { contextOf } from "../command-context.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

const PERSON = "person:";

export async function showRestore({ reads }: Services): Promise<RestoreAnswer> {
  const found = reads.restore();
  if (found === undefined) return { restore: null };
  const { id, restoredAt, outcome, backup, restoredBy, admins, isHeld } = found;
  const facts = { id, outcome, backup, admins };
  return { restore: { ...facts, restored_at: restoredAt, restored_by: restoredBy, held: isHeld } };
}

/** @throws TrustWardenError `not_found` for another restore, or one that is not held; `second_admin_required`. */
export async function releaseRestore(
  services: Services,
  visit: Visit<ReleaseRequest>,
): Promise<RestoreAnswer> {
  if (services.reads.restore()?.id !== visit.body.restore)
    throw new TrustWardenError("not_found", { kind: "restore" });
  const { personId, sessionSha256 } = personOf(visit.caller);
  const second = standingBehind(services, visit)
    .split(" ")
    .find((principal) => principal !== `${PERSON}${personId}`);
  if (second === undefined) throw new TrustWardenError("second_admin_required", { reason: "nobody" });
  const restore = {
    change: "release",
    personId,
    sessionSha256,
    confirmedBy: second.slice(PERSON.length),
  } as const;
  const context = contextOf(services, visit);
  await services.ledger.settle(await services.commands.changePeople({ change: "restore", restore, context }));
  return showRestore(services);
}
