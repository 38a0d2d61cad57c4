/**
 * What the gateway asks of the broker: a secret for one call, put on the request at the last moment, and taken out of
 * whatever comes back.
 *
 * Whoever holds an `Injection` holds a secret: it goes onto one request, is never logged, and is released.
 */
import type { AgentPrincipal } from "@trustwarden/core/principal.ts";

/** Header names in lower case, as Node gives them. */
export type HeaderMap = Readonly<Record<string, string | readonly string[] | undefined>>;

/** One call of an agent that was decided and recorded. */
export interface SecretUse {
  /** The secret's name. */
  readonly secret: string;
  /** The upstream's name. */
  readonly upstream: string;
  /** Origin that the request goes to; the secret was given for this one and no other. */
  readonly origin: string;
  readonly agent: AgentPrincipal;
  /** Of the action. */
  readonly eventId: string;
  /** Address of the agent's socket. */
  readonly peer: string;
}

/** A use, with how the call ended. */
export type UseOutcome = "success" | "failure" | "aborted";

/** A secret on its way onto one request. */
export interface Injection {
  /** To set on the request, in place of whatever the agent sent under these names; lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** To set in the query; empty unless the operator asked for it. */
  readonly query: Readonly<Record<string, string>>;
  /** Signs each request, where the secret is a token that is bound to a key of ours. */
  readonly dpop?: RequestProver;
  /** Aborts when the secret is disabled or deleted: the call must end. */
  readonly signal: AbortSignal;
  /** Finds any form of the secret in what comes back; one for each body. */
  redactor(): EchoRedactor;
  /** Ends the use, and raises the alarm when a redactor found something. Resolves when that is in the ledger. */
  release(outcome: UseOutcome): Promise<void>;
}

/** Proofs of possession for requests to an upstream. @see RFC 9449 */
export interface RequestProver {
  /** The `DPoP` header of one request. */
  prove(request: { readonly method: string; readonly url: string }): string;
  /** Notes a nonce that came from the URL's origin. @returns whether one came that can be used. */
  learn(url: string, nonce: string | undefined): boolean;
}

/**
 * Masks a secret in a stream, in the forms that `echo/forms.ts` names. A mask has the length of what it hides, so that
 * lengths and frames stay as they were.
 */
export interface EchoRedactor {
  /** What may go on of everything so far; bytes that may be the beginning of the secret wait for the next call. */
  push(chunk: Uint8Array): Uint8Array;
  /** What was held back; nothing may be pushed afterwards. */
  end(): Uint8Array;
  /**
   * Headers of an answer, masked; for trailers too.
   *
   * @throws TrustWardenError `upstream_answer_refused` when the body is compressed: nothing could be found in it.
   */
  headers<T extends HeaderMap>(headers: T): T;
  /** A short text, masked: a reason phrase, a message of an error. */
  text(text: string): string;
  /** How often the secret was found so far. */
  readonly echoes: number;
}

/** A canary that turned up where none may be. */
export interface CanaryFinding {
  readonly names: readonly string[];
  /** Such as `request target`, `request body`, `answer body`. */
  readonly where: string;
  readonly agent: AgentPrincipal;
  readonly eventId: string;
  readonly peer: string;
}

/** Watches for planted strings. Made for one moment: ask for a new one with each call. */
export interface CanaryWatch {
  /** Whether none is planted. */
  readonly isEmpty: boolean;
  /** Names of the canaries in one piece of data. */
  find(data: Uint8Array | string): readonly string[];
  /** A scanner that remembers across chunks; for the text of a model's stream, feed it the text alone. */
  stream(): CanaryStream;
}

export interface CanaryStream {
  /** Names of the canaries that ended in this chunk. */
  push(chunk: Uint8Array): readonly string[];
}

/** What the gateway uses. */
export interface Broker {
  /**
   * Whether this agent may use this secret at this upstream; asked before the decision, so that what cannot be done is
   * denied and not begun.
   *
   * @throws TrustWardenError `secret_unknown`, `secret_not_allowed`, `secret_disabled`.
   */
  requireUsable(use: Pick<SecretUse, "secret" | "upstream" | "origin" | "agent">): void;
  /**
   * The secret for one call; a refusal leaves a `secret` event.
   *
   * @throws TrustWardenError as `requireUsable`, `secret_unavailable` when it cannot be opened or fetched.
   */
  inject(use: SecretUse): Promise<Injection>;
  /** Every canary of this moment. */
  canaries(): CanaryWatch;
  /** Records the alarm of canaries that were found. @throws TrustWardenError `ledger_unavailable`. */
  reportCanary(finding: CanaryFinding): Promise<void>;
}

/**
 * Key-encryption keys: wrap the data keys of secrets, and nothing else. Sealed files, keys of a hardware token or of a
 * cloud's KMS (`server/signer/key-encryption.ts`).
 */
export interface KeyEncryption {
  /** From the oldest to the one in use; empty before the first. */
  ids(): readonly string[];
  /**
   * Makes the next key, durably, which is in use from now on.
   *
   * @returns its id.
   * @throws TrustWardenError `secret_unavailable`, `config_invalid` for a key that is not one to encrypt with.
   */
  create(): Promise<string>;
  /** Destroys a key: what is under it never opens again. @throws TrustWardenError `secret_unavailable`. */
  remove(id: string): Promise<void>;
  /** @throws TrustWardenError `secret_unavailable` for a key that is not here or cannot be asked. */
  wrap(id: string, data: { readonly key: Uint8Array; readonly context: Uint8Array }): Promise<Uint8Array>;
  /** @throws TrustWardenError `secret_unavailable` for a key that is not here, `seal_broken` for another context. */
  unwrap(id: string, data: { readonly key: Uint8Array; readonly context: Uint8Array }): Promise<Uint8Array>;
}
