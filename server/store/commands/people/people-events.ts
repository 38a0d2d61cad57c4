/** How the ledger is told of people: by their ids, never by names or addresses. */
import { encodeBase64 } from "@trustwarden/core/bytes.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { NewPasskey, PeopleChanged } from "../../people-ports.ts";
import type { CommandResult } from "../deps.ts";

/** An event of what one asked and another confirms. */
export function confirmationEvent(
  id: string,
  change: "ask" | "confirm" | "refuse" | "use",
  details: JsonObject,
): CommandResult<PeopleChanged> {
  const draft = { kind: "confirmation", allow: true, reasons: [], subject: id, chain: [] } as const;
  return { value: { id }, draft: { ...draft, details: { change, ...details } } };
}

/** An event about somebody or something of people. */
export function peopleEvent(
  kind: "person" | "session",
  {
    id,
    change,
    ownerId = null,
    details,
  }: {
    readonly id: string;
    readonly change: string;
    readonly ownerId?: string | null;
    readonly details: JsonObject;
  },
): CommandResult<PeopleChanged> {
  return {
    value: { id },
    draft: {
      kind,
      allow: true,
      reasons: [],
      subject: id,
      chain: ownerId === null ? [] : [`owner:${ownerId}`],
      details: { change, ...details },
    },
  };
}

/** What an event says of a new passkey: whoever checks its assertions offline reads it there. */
export function passkeyDetails({
  credentialId,
  spki,
  rpId,
  isBackupEligible,
  isBackedUp,
}: NewPasskey): JsonObject {
  return {
    credential_id: credentialId,
    spki: encodeBase64(spki),
    rp_id: rpId,
    backup_eligible: isBackupEligible,
    backed_up: isBackedUp,
  };
}
