/**
 * Tokens of a person's login, renewed by a refresh token that authorization servers replace with each use.
 *
 * One that was replaced and is shown again reads as a theft and ends the login. So one request at a time is on its way
 * for a login, it reads what is kept when it begins, and what it got in return is kept before the token is used.
 *
 * @see RFC 9700 §4.14.2
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { LoginValue } from "./login-value.ts";
import type { FetchedToken } from "./tokens.ts";

/** A change of the secret that has nothing to do with its value comes between now and then. */
const MAX_KEEPS = 3;
/** How long a token without a stated end is used before it is read again. */
const REREAD_MS = 60_000;

/** A login as it is kept at this moment. */
export interface KeptLogin {
  readonly revision: number;
  readonly value: LoginValue;
}

/** What an authorization server answers. */
export interface RenewedLogin extends FetchedToken {
  /** Null where the one that was shown stays. */
  readonly refreshToken: string | null;
}

/**
 * The token of a login that cannot be renewed, while it lasts.
 *
 * @throws TrustWardenError `secret_unavailable` when it is over.
 */
export function unrenewed(
  { accessToken, expiresAt }: LoginValue,
  { nowMs, monoMs }: { nowMs(): number; monoMs(): number },
): RenewedLogin {
  const leftMs = expiresAt === null ? REREAD_MS : expiresAt * 1000 - nowMs();
  if (accessToken === null || leftMs <= 0)
    throw new TrustWardenError("secret_unavailable", { from: "login", reason: "it is over: log in again" });
  return { token: accessToken, usableUntilMs: monoMs() + Math.min(leftMs, REREAD_MS), refreshToken: null };
}

/** One secret, to those who may open it. */
export interface Login {
  readonly secretId: string;
  /** @throws TrustWardenError `secret_unavailable`. */
  read(): Promise<KeptLogin>;
  /** @throws TrustWardenError `secret_unavailable` with the reason. */
  renew(value: LoginValue): Promise<RenewedLogin>;
  /** @throws TrustWardenError `secret_conflict` when it is of another revision by now. */
  keep(value: LoginValue, revision: number): Promise<void>;
}

/** Owns the tokens, and the requests that are on their way. */
export class LoginTokens {
  readonly #monoMs: () => number;
  readonly #kept = new Map<string, FetchedToken>();
  readonly #underway = new Map<string, Promise<FetchedToken>>();
  /** Secrets of which one change that comes is our own; what comes besides is somebody else's. */
  readonly #keeping = new Set<string>();
  /** Counted up by each change that is somebody else's: what was asked for before it is not kept. */
  #changes = 0;

  constructor(monoMs: () => number) {
    this.#monoMs = monoMs;
  }

  /** @throws TrustWardenError `secret_unavailable` with the reason, `secret_conflict` after a new login meanwhile. */
  async get(login: Login): Promise<FetchedToken> {
    const { secretId } = login;
    const kept = this.#kept.get(secretId);
    if (kept !== undefined && this.#monoMs() < kept.usableUntilMs) return kept;
    const underway = this.#underway.get(secretId);
    if (underway !== undefined) return underway;
    const renewing = this.#renew(login).finally(() => this.#underway.delete(secretId));
    this.#underway.set(secretId, renewing);
    return renewing;
  }

  /** The secret was changed or is gone: so is its token, unless the change was the renewal itself. */
  forget(secretId: string): void {
    if (this.#keeping.delete(secretId)) return;
    this.#changes += 1;
    this.#kept.delete(secretId);
  }

  async #renew(login: Login): Promise<FetchedToken> {
    const { secretId } = login;
    const changes = this.#changes;
    const { revision, value } = await login.read();
    const { refreshToken, ...fetched } = await login.renew(value);
    const next = { ...value, refreshToken: refreshToken ?? value.refreshToken };
    if (next.refreshToken !== value.refreshToken) {
      this.#keeping.add(secretId);
      try {
        await keep(login, { revision, shown: value, next });
      } finally {
        this.#keeping.delete(secretId);
      }
    }
    if (this.#changes === changes) this.#kept.set(secretId, fetched);
    else requireSameLogin(next, (await login.read()).value);
    return fetched;
  }
}

/** @throws TrustWardenError `secret_conflict` when somebody has logged in anew. */
function requireSameLogin(before: LoginValue, now: LoginValue): void {
  if (now.refreshToken !== before.refreshToken || now.accessToken !== before.accessToken)
    throw new TrustWardenError("secret_conflict", { reason: "there is a new login" });
}

/** Beside a change of another kind the login still has to be kept; in the place of a new login it must not be. */
async function keep(
  login: Login,
  {
    revision,
    shown,
    next,
  }: { readonly revision: number; readonly shown: LoginValue; readonly next: LoginValue },
): Promise<void> {
  let at = revision;
  for (let turn = 1; ; turn += 1) {
    try {
      return await login.keep(next, at);
    } catch (error) {
      if (!(error instanceof TrustWardenError) || error.code !== "secret_conflict" || turn === MAX_KEEPS)
        throw error;
      const now = await login.read();
      if (now.value.refreshToken !== shown.refreshToken) throw error;
      at = now.revision;
    }
  }
}
