/**
 * The visits whose answers are still going out, and their end when they may no longer go on.
 *
 * A decision is good for one act, but an answer may stream for hours. So each is asked again, as often as the lease is
 * renewed, whether the lease still holds and nobody of its chain was touched; the first "no" ends it for good.
 */

import { TrustWardenError } from "@trustwarden/core/error.ts";

/** As often as the lease is renewed: a lease that ends is noticed within one of its own lives. */
const INTERVAL_MS = 200;
/** For the reports of visits that are cut at the end. */
const CLOSE_TIMEOUT_MS = 5000;

/** Owns the open visits and the one timer that looks at them, which runs while there are any. */
export class LiveVisits {
  readonly #visits = new Map<AbortController, () => void>();
  /** From before the decision to after the report. */
  readonly #unreported = new Set<object>();
  #timer: NodeJS.Timeout | undefined;
  #onReported: (() => void) | undefined;

  /** One visit more whose end is to be reported. @returns what says that it is. */
  enter(): () => void {
    const visit = {};
    this.#unreported.add(visit);
    return () => {
      this.#unreported.delete(visit);
      if (this.#unreported.size === 0) this.#onReported?.();
    };
  }

  /**
   * Watches one visit until `end`.
   *
   * @param requireLive - throws when the visit must not go on.
   */
  watch(requireLive: () => void): { readonly signal: AbortSignal; readonly end: () => void } {
    const controller = new AbortController();
    this.#visits.set(controller, requireLive);
    this.#timer ??= setInterval(() => this.#look(), INTERVAL_MS).unref();
    return { signal: controller.signal, end: () => this.#forget(controller) };
  }

  /** Ends every visit and waits for the reports of their ends, but not for work that does not come to one. */
  async close(): Promise<void> {
    for (const controller of [...this.#visits.keys()]) {
      this.#forget(controller);
      controller.abort(new TrustWardenError("identity_closed"));
    }
    if (this.#unreported.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onReported = resolve;
    const timer = setTimeout(resolve, CLOSE_TIMEOUT_MS);
    await promise;
    clearTimeout(timer);
  }

  #look(): void {
    for (const [controller, requireLive] of this.#visits) {
      try {
        requireLive();
      } catch (error) {
        // Whatever it was, it is not known to be allowed any more.
        this.#forget(controller);
        controller.abort(error);
      }
    }
  }

  #forget(controller: AbortController): void {
    this.#visits.delete(controller);
    if (this.#visits.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
