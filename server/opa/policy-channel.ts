/**
 * The shared memory between `worker-engine.ts` and `policy-worker.ts`: two control words, then one JSON text.
 *
 * The asking side writes while the state is IDLE and ends with ASKED; the worker writes while it is ASKED and ends
 * with ANSWERED or FAILED; the asking side reads and ends with IDLE.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** Room for one question or one answer; larger ones are refused on either side. */
const CHANNEL_BYTES = 1_048_576;
/** The control words before the text. */
const HEADER_BYTES = 8;
/** Slot of the state. */
export const STATE = 0;
/** Slot of the text's length in bytes. */
const LENGTH = 1;

export const IDLE = 0;
export const ASKED = 1;
export const ANSWERED = 2;
export const FAILED = 3;

/** A new channel in the state IDLE. */
export function createChannel(): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER_BYTES + CHANNEL_BYTES);
}

/** The control words of a channel. */
export function controlOf(channel: SharedArrayBuffer): Int32Array {
  return new Int32Array(channel, 0, HEADER_BYTES / Int32Array.BYTES_PER_ELEMENT);
}

/**
 * Writes the text and hands the channel to the other side.
 *
 * @throws TrustWardenError `request_too_large`; nothing is handed over then.
 */
export function writeText(channel: SharedArrayBuffer, bytes: Uint8Array, state: number): void {
  if (bytes.length > CHANNEL_BYTES) throw new TrustWardenError("request_too_large", { bytes: bytes.length });
  new Uint8Array(channel, HEADER_BYTES).set(bytes);
  const control = controlOf(channel);
  Atomics.store(control, LENGTH, bytes.length);
  Atomics.store(control, STATE, state);
  Atomics.notify(control, STATE);
}

/** A copy of the text that the other side wrote. */
export function readText(channel: SharedArrayBuffer): Uint8Array {
  return new Uint8Array(channel, HEADER_BYTES, Atomics.load(controlOf(channel), LENGTH)).slice();
}
