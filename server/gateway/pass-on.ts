/**
 * Does one call to a service over HTTP: the same bytes to the upstream, and the same bytes back.
 *
 * Of a stream of events whole events go on, so that words which are cut over several are searched as their reader puts
 * them together; where there is nothing to look for, each part goes on as it comes.
 */
import { forwardHeaders } from "@trustwarden/core/gateway/headers.ts";
import { EventSplitter } from "./event-stream.ts";
import { HeldEvents } from "./held-events.ts";
import type { Performer, UpstreamAnswer } from "./ports.ts";
import { TextLeaves } from "./text-leaves.ts";
import type { WatchedText } from "./watched-text.ts";

/** @see `Performer` */
export const passOn: Performer = async ({ arrival, client, begin, write, end }) => {
  const { method, target, body } = arrival.request;
  const hasBody = method !== "GET" && method !== "HEAD";
  const answer = await client.request({
    method,
    path: target.text,
    headers: forwardHeaders(arrival.headers),
    body: hasBody ? body : null,
  });
  await begin(answer.status, answer.headers);
  const text = isEventStream(answer) ? client.watchText() : null;
  for await (const part of text === null ? answer.body : watchedEvents(answer.body, text)) await write(part);
  await end();
};

function isEventStream({ headers }: UpstreamAnswer): boolean {
  return headers["content-type"]?.toLowerCase().startsWith("text/event-stream") === true;
}

async function* watchedEvents(
  body: AsyncIterable<Uint8Array>,
  text: WatchedText,
): AsyncGenerator<Uint8Array> {
  const splitter = new EventSplitter();
  const leaves = new TextLeaves();
  const held = new HeldEvents(text, (event) => leaves.read(event));
  for await (const part of body) {
    for (const event of splitter.push(part)) await held.push(event);
    const ready = held.take();
    if (ready.length > 0) yield ready;
  }
  await held.push(splitter.end());
  const rest = held.rest();
  if (rest.length > 0) yield rest;
}
