/**
 * The upstream of one call, with its secret put in at the last moment and taken out of whatever comes back.
 *
 * What goes out is searched for canaries as it leaves, after every planner and performer has had its way with it; what
 * comes back is searched for canaries and for every form of the secret. A secret that is taken away ends the call.
 *
 * @see ATTACKS.md F1, F2, F8, F12
 */
import { setImmediate as letOthersGoOn } from "node:timers/promises";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { originOf } from "@trustwarden/core/gateway/upstream.ts";
import type {
  Broker,
  CanaryFinding,
  CanaryWatch,
  EchoRedactor,
  Injection,
  UseOutcome,
} from "../broker/ports.ts";
import type { UpstreamConnections } from "./forward.ts";
import type { CallArrival, GatewayCaller, UpstreamAnswer, UpstreamRequest, WatchingClient } from "./ports.ts";
import { WatchedText } from "./watched-text.ts";

/** Of an answer that nobody wants; a new connection costs less than reading more, or than waiting longer. */
const MAX_DISCARDED_BYTES = 16_384;
const MAX_DISCARDING_MS = 250;

/** Whose call it is, and what it goes through. */
export interface BrokeredCall {
  readonly arrival: Pick<CallArrival, "upstream" | "peer">;
  readonly caller: Pick<GatewayCaller, "agent" | "intent">;
  readonly signal: AbortSignal;
  readonly broker: Broker;
  readonly connections: Pick<UpstreamConnections, "send">;
  /** Of ours, over whatever the caller sent under these names: which trace this request is of. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A two-way connection with a secret in its opening; what comes back passes through here. */
export interface BrokeredUpgrade {
  readonly sent: UpstreamRequest;
  /** Fires when the call must end, or when its secret was taken away. */
  readonly signal: AbortSignal;
  /** Headers of the answer, masked. */
  head(headers: Readonly<Record<string, string>>): Promise<Readonly<Record<string, string>>>;
  /** What may go on of a part; masks keep lengths, so frames stay frames. */
  part(part: Uint8Array): Promise<Uint8Array>;
  /** What was held back. */
  rest(): Uint8Array;
  /** @throws TrustWardenError `secret_disabled` when that is why the connection ended. */
  requireEnabled(): void;
}

/** Owns the injections of one call, until `release`. */
export class BrokeredClient implements WatchingClient {
  readonly #call: BrokeredCall;
  readonly #injections: Injection[] = [];

  constructor(call: BrokeredCall) {
    this.#call = call;
  }

  async request(request: UpstreamRequest): Promise<UpstreamAnswer> {
    const { arrival, connections, broker } = this.#call;
    const canaries = broker.canaries();
    await this.#requireNoCanary(canaries, request);
    const injection = await this.#inject();
    const traced = { ...request, headers: { ...request.headers, ...this.#call.headers } };
    const signal =
      injection === null ? this.#call.signal : AbortSignal.any([this.#call.signal, injection.signal]);
    const { upstream } = arrival;
    const send = (until: AbortSignal) =>
      connections
        .send(upstream, withSecret(traced, injection, upstream.url), until)
        .catch((error: unknown) => throwWhy(error, injection));
    const unwanted = new AbortController();
    const mayBeRefused = injection?.dpop !== undefined;
    let answer = await send(mayBeRefused ? AbortSignal.any([signal, unwanted.signal]) : signal);
    const hasNonce = injection?.dpop?.learn(upstream.url, answer.nonce?.text) === true;
    if (hasNonce && answer.nonce?.isDemanded === true) {
      // Refused before it was looked at (RFC 9449 §9): once more, with the nonce.
      await discard(answer.body, () => unwanted.abort());
      answer = await send(signal);
    }
    const redactor = redactorOf(injection);
    const headers = redactor === undefined ? answer.headers : redactor.headers(answer.headers);
    await this.#refuseCanaries(canaries.find(JSON.stringify(answer.headers)), "answer head");
    return {
      status: answer.status,
      headers,
      body: this.#read(answer.body, { injection, redactor, canaries }),
    };
  }

  /**
   * The same care for a request that becomes a two-way connection. What the caller sends through it cannot be searched:
   * its frames are masked.
   *
   * @throws TrustWardenError `canary_found`, or the broker's codes.
   */
  async upgrade(request: UpstreamRequest): Promise<BrokeredUpgrade> {
    const canaries = this.#call.broker.canaries();
    await this.#requireNoCanary(canaries, request);
    const injection = await this.#inject();
    const redactor = redactorOf(injection);
    const watch = canaries.stream();
    return {
      sent: withSecret(request, injection, this.#call.arrival.upstream.url),
      signal: injection === null ? this.#call.signal : AbortSignal.any([this.#call.signal, injection.signal]),
      head: async (headers) => {
        await this.#refuseCanaries(canaries.find(JSON.stringify(headers)), "answer head");
        return redactor === undefined ? headers : redactor.headers(headers);
      },
      part: async (part) => {
        await this.#refuseCanaries(watch.push(part), "answer body");
        return redactor === undefined ? part : redactor.push(part);
      },
      rest: () => redactor?.end() ?? new Uint8Array(0),
      requireEnabled: () => {
        if (injection?.signal.aborted === true) throw new TrustWardenError("secret_disabled");
      },
    };
  }

  watchText(): WatchedText | null {
    const canaries = this.#call.broker.canaries();
    const injection = this.#injections.at(-1) ?? null;
    if (canaries.isEmpty && injection === null) return null;
    return new WatchedText({
      canaries: () => canaries.stream(),
      redactor: () => redactorOf(injection),
      refuse: (names) => this.#refuseCanaries(names, "answer text"),
    });
  }

  async requireClean(data: Uint8Array, where: string): Promise<void> {
    await this.#refuseCanaries(this.#call.broker.canaries().find(data), where);
  }

  /** Ends every use of a secret by this call; alarms of echoes are in the ledger when it resolves. */
  async release(outcome: UseOutcome): Promise<void> {
    await Promise.all(this.#injections.splice(0).map((injection) => injection.release(outcome)));
  }

  async #inject(): Promise<Injection | null> {
    const { arrival, caller, broker } = this.#call;
    const { upstream, peer } = arrival;
    if (upstream.secret === null) return null;
    const injection = await broker.inject({
      secret: upstream.secret,
      upstream: upstream.name,
      origin: originOf(upstream.url),
      agent: caller.agent,
      eventId: caller.intent.intent.event_id,
      peer,
    });
    this.#injections.push(injection);
    return injection;
  }

  async #requireNoCanary(canaries: CanaryWatch, { path, headers, body }: UpstreamRequest): Promise<void> {
    await this.#refuseCanaries(canaries.find(path), "request target");
    await this.#refuseCanaries(canaries.find(JSON.stringify(headers)), "request head");
    if (body !== null) await this.#refuseCanaries(canaries.find(body), "request body");
  }

  async #refuseCanaries(names: readonly string[], where: CanaryFinding["where"]): Promise<void> {
    if (names.length === 0) return;
    const { arrival, caller, broker } = this.#call;
    const eventId = caller.intent.intent.event_id;
    await broker.reportCanary({ names, where, agent: caller.agent, eventId, peer: arrival.peer });
    throw new TrustWardenError("canary_found", { where, canaries: [...names] });
  }

  async *#read(
    body: AsyncIterable<Uint8Array>,
    {
      injection,
      redactor,
      canaries,
    }: {
      readonly injection: Injection | null;
      readonly redactor: EchoRedactor | undefined;
      readonly canaries: CanaryWatch;
    },
  ): AsyncGenerator<Uint8Array> {
    const watch = canaries.stream();
    try {
      for await (const part of body) {
        await this.#refuseCanaries(watch.push(part), "answer body");
        const shown = redactor === undefined ? part : redactor.push(part);
        if (shown.length > 0) yield shown;
      }
    } catch (error) {
      throwWhy(error, injection);
    }
    const rest = redactor?.end();
    if (rest !== undefined && rest.length > 0) yield rest;
  }
}

/** One for each answer; what it finds is masked in head and body alike. */
function redactorOf(injection: Injection | null): EchoRedactor | undefined {
  return injection?.redactor();
}

/** A call that was ended because its secret was taken away says so. */
function throwWhy(error: unknown, injection: Injection | null): never {
  if (injection?.signal.aborted === true) throw new TrustWardenError("secret_disabled", {}, { cause: error });
  throw error;
}

/** A request with its secret, at the last moment; the agent's own header or parameter of that name does not go along. */
function withSecret(
  request: UpstreamRequest,
  injection: Injection | null,
  upstreamUrl: string,
): UpstreamRequest {
  if (injection === null) return request;
  const path = withParameters(request.path, injection.query);
  const { method } = request;
  const proof = injection.dpop?.prove({ method, url: `${upstreamUrl}${path}` });
  return {
    ...request,
    path,
    headers: { ...request.headers, ...injection.headers, ...(proof === undefined ? {} : { dpop: proof }) },
  };
}

/**
 * Reads a short answer to its end, so that its connection can be used again; a long or a slow one is given up, connection
 * and all: whoever sends it could hold the call for as long as it likes.
 */
async function discard(body: AsyncIterable<Uint8Array>, giveUp: () => void): Promise<void> {
  const timer = setTimeout(giveUp, MAX_DISCARDING_MS);
  try {
    let read = 0;
    for await (const part of body) {
      read += part.length;
      if (read > MAX_DISCARDED_BYTES) return giveUp();
    }
  } catch (error) {
    // Safe to go on: nobody wants this answer; where the call itself is over, the next request is not sent.
    if (!(error instanceof TrustWardenError)) throw error;
  } finally {
    clearTimeout(timer);
  }
  // The connection is free in the next round; asked for at once, another one would be made beside it.
  await letOthersGoOn();
}

function withParameters(target: string, added: Readonly<Record<string, string>>): string {
  if (Object.keys(added).length === 0) return target;
  const mark = target.indexOf("?");
  const path = mark === -1 ? target : target.slice(0, mark);
  const own = mark === -1 ? [] : target.slice(mark + 1).split("&");
  // Of two parameters of one name some servers take the first: it would be the agent's account that is used.
  const kept = own.filter(
    (part) =>
      part !== "" && ![...new URLSearchParams(part).keys()].some((name) => Object.hasOwn(added, name)),
  );
  return `${path}?${[...kept, new URLSearchParams({ ...added }).toString()].join("&")}`;
}
