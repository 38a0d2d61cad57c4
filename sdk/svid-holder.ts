/**
 * Keeps an instance's credential fresh: a new key and SVID at half life at the latest, long before the old one ends.
 *
 * An SVID that cannot be renewed is used until it ends and not a second longer; every failed try is reported.
 */
import type { Certificate } from "@trustwarden/core/agentid/certificate.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Credential } from "./credential.ts";
import { renewalDelayMs } from "./renewal-time.ts";
import { jitter, nowSeconds, type Runtime } from "./runtime.ts";
import type { CurrentSvid } from "./tls.ts";

const MIN_RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;

/** Owns the current credential and the timer of its renewal. */
export class SvidHolder {
  readonly #renew: (current: Credential) => Promise<Credential>;
  readonly #instanceExpiresAt: number;
  readonly #onRenewed: (credential: Credential) => void;
  readonly #runtime: Runtime;
  #credential: Credential;
  #timer: NodeJS.Timeout | undefined;
  /** The one renewal under way. */
  #renewing: Promise<void> | undefined;
  #isClosed = false;
  /** The server asks for a renewal that has not come yet. */
  #isAsked = false;
  #spreadMs = 0;

  constructor(options: {
    readonly first: Credential;
    /** Gets the next credential with the current one. */
    readonly renew: (current: Credential) => Promise<Credential>;
    /** Unix seconds; an SVID that lasts as long is the last one. */
    readonly instanceExpiresAt: number;
    readonly onRenewed?: (credential: Credential) => void;
    readonly runtime: Runtime;
  }) {
    this.#credential = options.first;
    this.#renew = options.renew;
    this.#instanceExpiresAt = options.instanceExpiresAt;
    this.#onRenewed = options.onRenewed ?? (() => undefined);
    this.#runtime = options.runtime;
    this.#scheduleWhenDue();
  }

  /**
   * The credential to act with now.
   *
   * @throws TrustWardenError `identity_closed`, `identity_expired`.
   */
  current(): Credential {
    if (this.#isClosed) throw new TrustWardenError("identity_closed");
    const { expiresAt } = this.#credential;
    if (nowSeconds(this.#runtime) >= expiresAt) throw new TrustWardenError("identity_expired", { expiresAt });
    return this.#credential;
  }

  /** What connections present, also when it has ended: the other side refuses it then. */
  get presented(): CurrentSvid {
    return this.#credential.tls;
  }

  /** The certificate at hand, also when it has ended. */
  get leaf(): Certificate {
    return this.#credential.svid.leaf;
  }

  /** Ends what is under way with services. */
  cutVisits(): void {
    this.#credential.cutVisits();
  }

  /**
   * Renews within `spreadMs`, without anybody waiting: what a thousand hear at one moment must not bring them all back
   * at one moment. A failure is reported, and tried again after as long.
   */
  renewSoon({ spreadMs }: { readonly spreadMs: number }): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    this.#spreadMs = spreadMs;
    clearTimeout(this.#timer);
    this.#scheduleIn(spreadMs * jitter(this.#runtime));
  }

  /** Renews now, or joins the renewal under way. @throws TrustWardenError the server's refusal. */
  renew(): Promise<void> {
    this.#renewing ??= this.#renewOnce().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#credential.retire();
  }

  async #renewOnce(): Promise<void> {
    clearTimeout(this.#timer);
    const next = await this.#renew(this.current());
    if (this.#isClosed) {
      next.retire();
      return;
    }
    this.#credential.retire();
    this.#credential = next;
    this.#isAsked = false;
    this.#scheduleWhenDue();
    this.#onRenewed(next);
  }

  #scheduleWhenDue(): void {
    const { expiresAt } = this.#credential;
    if (expiresAt >= this.#instanceExpiresAt) return;
    this.#scheduleIn(renewalDelayMs(expiresAt * 1000 - this.#runtime.nowMs(), this.#runtime));
  }

  #scheduleIn(delayMs: number): void {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => void this.#renewInBackground(), Math.max(delayMs, 0));
    this.#timer.unref();
  }

  #retryMs(leftMs: number): number {
    if (this.#isAsked) return MIN_RETRY_MS + this.#spreadMs * jitter(this.#runtime);
    return Math.min(Math.max(leftMs / 4, MIN_RETRY_MS), MAX_RETRY_MS);
  }

  async #renewInBackground(): Promise<void> {
    try {
      await this.renew();
    } catch (error) {
      // Safe to go on: the SVID at hand ends by itself, and `current` refuses from then on.
      if (this.#isClosed) return;
      const code = error instanceof TrustWardenError ? error.code : "internal";
      const { expiresAt, svid } = this.#credential;
      this.#runtime.notify({
        code,
        what: "An SVID could not be renewed.",
        details: { id: svid.id, expiresAt },
      });
      const leftMs = expiresAt * 1000 - this.#runtime.nowMs();
      if (leftMs > 0) this.#scheduleIn(this.#retryMs(leftMs));
    }
  }
}
