/** Following the ledger from an index on. */
import { EventStream } from "@trustwarden/core/agentledger/event-stream.ts";
import type { JoinedEvent } from "@trustwarden/core/agentledger/join.ts";
import type { TailAnswer, TailQuery } from "@trustwarden/core/api/ledger.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";
import { formatEvent } from "./events.ts";

const OWN_PATH = "/v1/ledger/tail";

/**
 * A piece of the stream, up to and with the record of this very visit, so that whoever follows is not woken by its own
 * questions; they are left out.
 *
 * @throws TrustWardenError `ledger_unavailable`, `ledger_corrupt`.
 */
export async function readTail(services: Services, visit: Visit<unknown, TailQuery>): Promise<TailAnswer> {
  const { log, origin } = services.ledger;
  await log.waitForCheckpoint(log.size);
  const size = log.publishedSize();
  const { events, next } = await new EventStream(log).read({ ...visit.query, size });
  const shown = events.filter(({ event }) => !isOwnQuestion(event));
  return { events: shown.map(({ index, event }) => ({ index, event: formatEvent(event) })), next, origin };
}

function isOwnQuestion({ kind, resource }: JoinedEvent): boolean {
  return kind === "read" && resource === OWN_PATH;
}
