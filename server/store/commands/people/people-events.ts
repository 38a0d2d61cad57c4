/** How the ledger is told of people: by their ids, never by names or addresses. */
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { PeopleChanged } from "../../people-ports.ts";
import type { CommandResult } from "../deps.ts";

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
