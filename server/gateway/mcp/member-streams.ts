/**
 * The stream on which the client of an endpoint that stands for several hears what its members say unasked: in the older
 * era the questions of those whose settings let them ask. Each comes under an id that leads the answer back to its asker.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseMcpSettings } from "@trustwarden/core/gateway/mcp/settings.ts";
import type { UpstreamState } from "../../store/gateway-ports.ts";
import { type EndpointCall, visitOf } from "./aggregate.ts";
import type { Dialogue } from "./dialogues.ts";
import type { Exchange } from "./link.ts";
import { relayOf } from "./perform.ts";
import { relayMember, STREAM_HEADERS } from "./relay.ts";
import { resultMapOf } from "./results.ts";

/** Listens to every member that the client talks with, now and later, until the client goes. */
export async function listenToAll(at: EndpointCall): Promise<void> {
  const { call, dialogue } = at;
  if (dialogue.sessionId === null) throw new TrustWardenError("mcp_session_unknown");
  const { members = [] } = call.arrival.upstream;
  const asking = new Map<string, UpstreamState>(
    members.filter(mayAsk).map((upstream) => [upstream.name, upstream]),
  );
  const relays = new Set<Promise<void>>();
  const listen = async (member: string, talk: Dialogue): Promise<void> => {
    const upstream = asking.get(member);
    if (upstream !== undefined) relays.add((await openStream(at, upstream, talk)).untilEnd);
  };
  await call.begin(200, STREAM_HEADERS);
  dialogue.listeners.add(listen);
  try {
    for (const [member, opening] of dialogue.members) {
      const talk = await opening.catch((error: unknown) => requireOrdinary(error));
      if (talk !== undefined) await listen(member, talk);
    }
    await untilAborted(call.signal);
  } finally {
    dialogue.listeners.delete(listen);
    await Promise.all(relays);
  }
}

function mayAsk({ settings }: UpstreamState): boolean {
  return parseMcpSettings(settings).clientFeatures.length > 0;
}

/** Resolves once the member's stream is open; one without a stream says nothing. */
async function openStream(
  at: EndpointCall,
  upstream: UpstreamState,
  talk: Dialogue,
): Promise<{ readonly untilEnd: Promise<void> }> {
  const { link, ...visit } = await visitOf(at, { upstream, signal: at.call.signal, talk });
  const { version } = visit.manner;
  const stream = { version, sessionId: talk.upstreamSessionId, lastEventId: null };
  const exchange = await link.listen(stream).catch((error: unknown) => requireOrdinary(error));
  return { untilEnd: exchange === undefined ? Promise.resolve() : passOn(exchange, { ...visit, link }) };
}

async function passOn(exchange: Exchange, visit: Parameters<typeof relayOf>[0]): Promise<void> {
  const context = { ...relayOf(visit, {}), request: null, mapResult: resultMapOf(visit, null) };
  try {
    await relayMember(exchange, context);
  } catch (error) {
    // The stream of one member ends; the client hears the others.
    requireOrdinary(error);
  }
}

/** Lets go what a member may answer with at any time: it fails alone. Whatever else is thrown is a fault of ours. */
export function requireOrdinary(error: unknown): undefined {
  if (!(error instanceof TrustWardenError)) throw error;
}

function untilAborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  signal.addEventListener("abort", () => resolve(), { once: true });
  return promise;
}
