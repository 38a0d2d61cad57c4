/** The record of what an agent presented in the place of an intent, signed by the server. */
import { formatTime } from "@trustwarden/core/event.ts";
import { formatUuidV7 } from "@trustwarden/core/id.ts";
import type { LoggedIntent, PresentedIntent } from "@trustwarden/core/presented-intent.ts";
import type { Services } from "../http/services.ts";

/** Not in the ledger yet: the caller appends it before the decision. */
export function issuePresentedRecord(
  services: Services,
  facts: Omit<PresentedIntent, "v" | "event_id" | "aud" | "time">,
): LoggedIntent {
  const nowMs = services.clock.nowMs();
  return services.ledger.issuePresented({
    v: 1,
    event_id: formatUuidV7(nowMs, services.random),
    aud: services.serverSvid().spiffeId,
    time: formatTime(nowMs),
    ...facts,
  });
}
