/**
 * One identity provider as `openid-client` speaks to it: discovery, the exchange with PKCE, the checks of the ID token and its
 * signature, the end of a session. Loaded when the first person comes that way.
 *
 * Ours is where the library may go (`way-out.ts`), and what more a token must be here (`requireOurs`).
 *
 * @see OpenID Connect Core 1.0 §3.1; RFC 7636; RFC 9207; RFC 9700 §2.1, §4.4, §4.5
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import {
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  buildEndSessionUrl,
  type ClientAuth,
  ClientSecretBasic,
  Configuration,
  type CustomFetch,
  clockTolerance,
  customFetch,
  type ExportedJWKSCache,
  enableNonRepudiationChecks,
  getJwksCache,
  None,
  setJwksCache,
} from "openid-client";
import { parseCompactToken } from "../../attest/compact-token.ts";
import { createLimit } from "../../attest/concurrency.ts";
import { refused } from "../../attest/refusal.ts";
import { CLOCK_SKEW_SECONDS, requireOneAudience, requireWithinLifetime } from "../../attest/verify-token.ts";
import { type IdentityProviderConfig, isClear } from "./config.ts";
import { createMetadata, type FindMetadata } from "./metadata.ts";
import type { Asked, ReturnedCode, SigningOut } from "./provider.ts";
import { translated } from "./refusals.ts";

/** OpenID Connect Core §2: at most 255 ASCII characters. */
const SUBJECT = /^[\x20-\x7e]{1,255}$/;

/** Lives as long as its provider; owns what is known of it, its keys among it. */
export class RelyingParty {
  readonly #clientId: string;
  readonly #maxTokenSeconds: number;
  readonly #authentication: ClientAuth;
  readonly #fetch: CustomFetch;
  readonly #metadata: FindMetadata;
  readonly #limit = createLimit();
  #keys: ExportedJWKSCache | undefined;

  /**
   * @param options.secret - of a confidential client; null for a public one.
   * @param options.fetch - the one way out.
   */
  constructor(
    config: IdentityProviderConfig,
    { secret, fetch }: { readonly secret: string | null; readonly fetch: CustomFetch },
  ) {
    this.#clientId = config.clientId;
    this.#maxTokenSeconds = config.maxTokenSeconds;
    this.#authentication = secret === null ? None() : ClientSecretBasic(secret);
    this.#fetch = fetch;
    this.#metadata = createMetadata(config, fetch);
  }

  /** @throws TrustWardenError `identity_provider_unavailable`. */
  async authorizationUrl({ redirectUri, nonce, now }: Asked): Promise<string> {
    const configuration = await translated(() => this.#configure(now));
    const { href } = buildAuthorizationUrl(configuration, {
      redirect_uri: redirectUri,
      scope: "openid",
      nonce,
      code_challenge_method: "S256",
    });
    return href;
  }

  /** @throws TrustWardenError `identity_refused`, `identity_provider_unavailable`. */
  redeem(returned: ReturnedCode): Promise<string> {
    return translated(() => this.#limit(() => this.#subjectOf(returned)));
  }

  /** Null where there is no such place, or nobody answers who knows. */
  async signOutUrl({ origin, now }: SigningOut): Promise<string | null> {
    const configuration = await this.#configure(now).catch((error: unknown) => {
      // Safe to go on: the session here has ended, and this is only an address that is offered.
      if (error instanceof TrustWardenError) return null;
      throw error;
    });
    if (configuration?.serverMetadata().end_session_endpoint === undefined) return null;
    return buildEndSessionUrl(configuration, { post_logout_redirect_uri: `${origin}/app` }).href;
  }

  async #subjectOf(returned: ReturnedCode): Promise<string> {
    const configuration = await this.#configure(returned.now);
    try {
      // Before the code goes anywhere: `iss`, since an answer of another provider would carry that one's code here (mix-up).
      const { id_token: token } = await authorizationCodeGrant(configuration, answerOf(returned), {
        pkceCodeVerifier: returned.codeVerifier,
        expectedNonce: returned.nonce,
        idTokenExpected: true,
      });
      return this.#requireOurs(token ?? "", returned.now);
    } finally {
      this.#keys = getJwksCache(configuration) ?? this.#keys;
    }
  }

  /**
   * What a proven ID token must be here beyond the standard: in its one spelling, with a header that brings no key, for us and
   * nobody beside us, no longer-lived than configured, and within its time by the clock that nobody turns back.
   */
  #requireOurs(token: string, now: number): string {
    // The library has proven them, from the very text that is read once more.
    const { unverifiedClaims: claims } = parseCompactToken(token);
    requireOneAudience(claims.aud, this.#clientId);
    requireWithinLifetime(claims, { maxTokenSeconds: this.#maxTokenSeconds }, now);
    if (claims.azp !== undefined && claims.azp !== this.#clientId) throw refused("azp");
    if (typeof claims.sub !== "string" || !SUBJECT.test(claims.sub)) throw refused("sub");
    return claims.sub;
  }

  async #configure(now: number): Promise<Configuration> {
    const metadata = await this.#metadata(now);
    const client = { [clockTolerance]: CLOCK_SKEW_SECONDS };
    const configuration = new Configuration(metadata, this.#clientId, client, this.#authentication);
    configuration[customFetch] = this.#fetch;
    const { authorization_endpoint, token_endpoint, jwks_uri } = metadata;
    if ([authorization_endpoint, token_endpoint, jwks_uri].some(isClear))
      allowInsecureRequests(configuration);
    // Also what TLS brought is verified by the provider's keys.
    enableNonRepudiationChecks(configuration);
    if (this.#keys !== undefined) setJwksCache(configuration, this.#keys);
    return configuration;
  }
}

/** The address that the browser came back to; its state is the page's, which has looked at it. */
function answerOf({ redirectUri, code, issuer }: ReturnedCode): URL {
  const url = new URL(redirectUri);
  url.searchParams.set("code", code);
  if (issuer !== undefined) url.searchParams.set("iss", issuer);
  return url;
}
