/** Reading the ledger's events over the admin socket, outside a test runner too. */
import { type EventView, eventPage } from "@trustwarden/core/api/ledger.ts";
import type { ControlKind } from "@trustwarden/core/event.ts";
import { parseAnswer } from "./actors.ts";
import { sendAdmin } from "./http.ts";
import type { TestServer } from "./server.ts";

/** The latest events of a kind, newest first. */
export async function eventsOfKind(server: TestServer, kind: ControlKind): Promise<readonly EventView[]> {
  const target = `/v1/events?kind=${kind}&limit=100`;
  return parseAnswer(eventPage, await sendAdmin(server.adminSocket, { target })).events;
}
