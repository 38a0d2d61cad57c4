/**
 * The key that the tokens of one secret are bound to, and the proofs that are signed with it: one for each request, so that
 * a token which somebody reads in an upstream's log is worth nothing without us.
 *
 * The key is made when it is first needed and is in memory only, as the tokens are. Nonces are remembered by origin, the
 * last one that came.
 *
 * @see RFC 9449 §4.2, §7.1, §8, §9
 */
import { randomUUID } from "node:crypto";
import { issueDpopProof } from "@trustwarden/core/dpop.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import type { RequestProver } from "../ports.ts";

/** RFC 9449 §8.1 sets no bound; ours keeps a header a header. */
const NONCE = /^[\x21\x23-\x5b\x5d-\x7e]{1,512}$/;

/** Owns one key. */
export class DpopKey {
  readonly #signer: Signer;
  readonly #nonces = new Map<string, string>();
  readonly #nowMs: () => number;

  constructor(signer: Signer, nowMs: () => number) {
    this.#signer = signer;
    this.#nowMs = nowMs;
  }

  /** A proof for one request; query and fragment are no part of it. */
  prove(request: { readonly method: string; readonly url: string; readonly accessToken?: string }): string {
    const { method, url, accessToken } = request;
    const nonce = this.#nonces.get(new URL(url).origin);
    return issueDpopProof({
      method,
      url: url.replace(/[?#].*$/, ""),
      jti: randomUUID(),
      now: Math.floor(this.#nowMs() / 1000),
      signer: this.#signer,
      ...(nonce === undefined ? {} : { nonce }),
      ...(accessToken === undefined ? {} : { accessToken }),
    });
  }

  /** Notes a nonce that came from an origin. @returns whether one came that can be used. */
  learn(url: string, nonce: string | undefined): boolean {
    if (nonce === undefined || !NONCE.test(nonce)) return false;
    this.#nonces.set(new URL(url).origin, nonce);
    return true;
  }

  /** Proofs for requests with one token. */
  proverFor(accessToken: string): RequestProver {
    return {
      prove: (request) => this.prove({ ...request, accessToken }),
      learn: (url, nonce) => this.learn(url, nonce),
    };
  }
}
