/**
 * The JWT-SVIDs that one instance was given lately, for a server that is away: a token that its process had a moment ago
 * is its own still.
 *
 * Nothing is read from here while the server answers, and nothing is left here by a refusal: it is never followed by a token of
 * before.
 */
import { nowSeconds, type Runtime } from "trustwarden/peer.ts";

/** What a process asks for again and again; others are forgotten first. */
const MAX_TOKENS = 32;
/** A token is for the way to a service and its check. */
const MIN_LEFT_SECONDS = 30;

/** A JWT-SVID with its end, Unix seconds. */
export interface IssuedToken {
  readonly svid: string;
  readonly expiresAt: number;
}

/** Owns the latest token of each request, oldest first. */
export class TokensAtHand {
  readonly #tokens = new Map<string, IssuedToken>();
  readonly #runtime: Runtime;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  keep(request: TokenRequest, token: IssuedToken): void {
    const name = nameOf(request);
    this.#tokens.delete(name);
    this.#tokens.set(name, token);
    const [oldest] = this.#tokens.keys();
    if (this.#tokens.size > MAX_TOKENS && oldest !== undefined) this.#tokens.delete(oldest);
  }

  /** After a refusal. */
  forget(): void {
    this.#tokens.clear();
  }

  /** The token of exactly this request; undefined when it ends too soon. */
  find(request: TokenRequest): string | undefined {
    const token = this.#tokens.get(nameOf(request));
    if (token === undefined) return undefined;
    return token.expiresAt - nowSeconds(this.#runtime) >= MIN_LEFT_SECONDS ? token.svid : undefined;
  }
}

/** For whom a token is asked, and in which name. */
export interface TokenRequest {
  readonly audience: readonly string[];
  readonly identity: "instance" | "class";
}

function nameOf({ audience, identity }: TokenRequest): string {
  return JSON.stringify([identity, ...audience]);
}
