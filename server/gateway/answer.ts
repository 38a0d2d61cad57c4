/**
 * The answer of one call: nothing of it leaves before the decision is durable, and its end is known.
 *
 * Owns the response. Between calls either nothing was written, or head and receipt were; what was written is counted. What
 * is written in one turn of the event loop leaves together: a TLS record and a system call for a short answer, not three.
 */
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { formatReceiptHeader } from "@trustwarden/core/api/action.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { AllowedCall, CallProgress, CallReceipt, GatewayCaller } from "./ports.ts";

const RECEIPT_HEADER = "trustwarden-receipt";
/** A reader that takes nothing for this long is gone (F17). */
const STALLED_MS = 30_000;

/** Writes one answer. */
export class CallAnswer implements Pick<AllowedCall, "begin" | "write" | "end"> {
  readonly #response: ServerResponse;
  readonly #progress: CallProgress;
  /** Made as soon as the decision is durable, while the upstream works. */
  readonly #receipt: Promise<string>;
  readonly #signal: AbortSignal;
  #isHeadSent = false;
  /** The connection whose writes are held until this turn of the event loop is over. */
  #held: Socket | null = null;

  constructor(options: {
    readonly response: ServerResponse;
    readonly progress: CallProgress;
    readonly receipt: CallReceipt;
    readonly caller: GatewayCaller;
    readonly signal: AbortSignal;
  }) {
    this.#response = options.response;
    this.#progress = options.progress;
    this.#receipt = formatReceipt(options.caller, options.receipt);
    // Awaited before the answer begins; until then it must not count as unhandled.
    this.#receipt.catch(() => undefined);
    this.#signal = options.signal;
  }

  readonly begin = async (status: number, headers: Readonly<Record<string, string>>): Promise<void> => {
    const receipt = await this.#receipt;
    this.#requireOpen();
    this.#response.writeHead(status, { ...headers, [RECEIPT_HEADER]: receipt });
    this.#hold();
  };

  readonly write = async (part: Uint8Array): Promise<void> => {
    this.#requireOpen();
    this.#progress.bytes += part.length;
    this.#hold();
    this.#isHeadSent = true;
    if (this.#response.write(part)) return;
    const stalled = AbortSignal.timeout(STALLED_MS);
    try {
      await once(this.#response, "drain", { signal: AbortSignal.any([this.#signal, stalled]) });
    } catch {
      // Safe: whatever stopped the wait, no more is written, and the outcome says that it was broken off.
      throw new TrustWardenError("call_aborted", { reason: "the reader stands still" });
    }
  };

  readonly end = async (): Promise<void> => {
    this.#requireOpen();
    this.#isHeadSent = true;
    // Lets go of what is held.
    this.#response.end();
  };

  #hold(): void {
    const { socket } = this.#response;
    if (this.#held !== null || socket === null) return;
    this.#held = socket;
    socket.cork();
    setImmediate(() => this.#release());
  }

  /** A head whose body is still to come is sent as well: a reader may wait for it alone. */
  #release(): void {
    if (!this.#isHeadSent && !this.#response.destroyed) {
      this.#isHeadSent = true;
      this.#response.flushHeaders();
    }
    this.#held?.uncork();
    this.#held = null;
  }

  #requireOpen(): void {
    if (this.#signal.aborted || this.#response.destroyed) throw new TrustWardenError("call_aborted");
  }
}

/** The receipt as a header, once it is one. @throws TrustWardenError `ledger_unavailable`. */
export async function formatReceipt(
  { intent }: Pick<GatewayCaller, "intent">,
  { decision, recorded }: CallReceipt,
): Promise<string> {
  const { index, acknowledgement } = await recorded;
  return formatReceiptHeader({
    event_id: intent.intent.event_id,
    intent_sha256: intent.sha256,
    decision,
    decision_index: index,
    acknowledgement,
  });
}
