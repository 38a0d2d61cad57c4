/** Backups that are ordered from the server. */
import type { BackupsAnswer } from "@trustwarden/core/api/backups.ts";
import type { OrderedBackup } from "../../backup/backup-orders.ts";
import { standingBehind } from "../../console/confirm.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

export async function showBackups({ backups }: Services): Promise<BackupsAnswer> {
  const { isConfigured: configured, last } = backups;
  return { configured, last: last && formatOrder(last) };
}

/** Begins one, and answers before it is made. @throws TrustWardenError `backup_not_configured`, `backup_running`. */
export async function orderBackup(services: Services, visit: Visit): Promise<BackupsAnswer> {
  services.backups.order(standingBehind(services, visit));
  return showBackups(services);
}

function formatOrder({ id, orderedAt, endedAt, made, code }: OrderedBackup) {
  return {
    id,
    state: stateOf({ endedAt, made }),
    ordered_at: orderedAt,
    ended_at: endedAt,
    file: made?.file ?? null,
    bytes: made?.bytes ?? null,
    size: made?.size ?? null,
    code,
  };
}

function stateOf({ endedAt, made }: Pick<OrderedBackup, "endedAt" | "made">): "running" | "made" | "failed" {
  if (endedAt === null) return "running";
  return made === null ? "failed" : "made";
}
