/**
 * The visits whose answers are still going out, and their end when they may no longer go on.
 *
 * A decision is good for one act, but an answer may stream for hours. So each is asked again, as often as the lease is
 * renewed, whether the lease still holds and nobody of its chain was touched; the first "no" ends it for good.
 */

/** As often as the lease is renewed: a lease that ends is noticed within one of its own lives. */
const INTERVAL_MS = 200;

/** Owns the open visits and the one timer that looks at them, which runs while there are any. */
export class LiveVisits {
  readonly #visits = new Map<AbortController, () => void>();
  #timer: NodeJS.Timeout | undefined;

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
