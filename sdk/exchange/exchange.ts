/**
 * Workload identity federation: a JWT-SVID of an agent for the credential of a cloud or model provider.
 *
 * A credential is asked for when it is needed, kept until shortly before its end, and asked for once however many wait.
 * Nothing is kept on disk. The provider verifies the token by our discovery document; see
 * `docs/guides/workload-identity-federation.md`.
 */
import { nowSeconds, type Runtime, systemRuntime } from "../runtime.ts";
import { type ProviderPlace, requirePlace } from "./provider-answer.ts";

/** A credential is renewed this long before its end, so that a request that begins with it also ends with it. */
const RENEW_BEFORE_SECONDS = 60;

/** Who gives the token: an `AgentIdentity` is one. */
export interface TokenSource {
  /** A JWT-SVID for exactly one audience. */
  jwt(audience: string): Promise<string>;
}

/** Something that ends. */
interface Expiring {
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** Credentials of one provider for one agent. */
export interface ProviderCredentials<T extends Expiring> {
  /** The credential of the moment. @throws TrustWardenError `exchange_refused`, `exchange_malformed`, `exchange_unreachable`. */
  get(): Promise<T>;
  /** Forgets it, after the provider has refused it or to let go of it. */
  forget(): void;
}

/** What every provider's credentials are made from. */
export interface ExchangeOptions {
  readonly agent: TokenSource;
  readonly runtime?: Runtime;
}

/** Keeps one credential fresh. @throws TrustWardenError `config_invalid` for a place that cannot be meant. */
export function createProviderCredentials<T extends Expiring>(
  { agent, runtime = systemRuntime, ...place }: ExchangeOptions & ProviderPlace,
  {
    audience,
    exchange,
  }: { readonly audience: string; readonly exchange: (token: string, now: number) => Promise<T> },
): ProviderCredentials<T> {
  requirePlace(place);
  let current: T | undefined;
  let pending: Promise<T> | undefined;
  const renew = async (): Promise<T> => {
    try {
      current = await exchange(await agent.jwt(audience), nowSeconds(runtime));
      return current;
    } finally {
      pending = undefined;
    }
  };
  return {
    get: async () => {
      if (current !== undefined && nowSeconds(runtime) < current.expiresAt - RENEW_BEFORE_SECONDS)
        return current;
      pending ??= renew();
      return pending;
    },
    forget: () => {
      current = undefined;
    },
  };
}
