/**
 * One identity provider: where somebody is sent, and what the code is worth that comes back.
 *
 * Authorization code with PKCE. The nonce is a challenge of ours, which counts once; the verifier never leaves the browser
 * that began. Nothing but the ID token is kept of an answer, and of that nothing but whose subject it is: no address,
 * name or group of it is believed here.
 *
 * @see OpenID Connect Core 1.0 §3.1; RFC 7636; RFC 9207; RFC 9700 §2.1, §4.4, §4.5
 */
import { encodeBase64, encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { createLimit } from "../../attest/concurrency.ts";
import type { SafeFetch } from "../../attest/safe-fetch.ts";
import { createKeySource, type OpenFetch } from "../../attest/token-source.ts";
import { type TokenRules, verifyToken } from "../../attest/verify-token.ts";
import { readPrivateFile } from "../../signer/private-file.ts";
import type { IdentityProviderConfig } from "./config.ts";
import { createMetadata, discoveryOf, type FindMetadata } from "./metadata.ts";

const MAX_ANSWER_BYTES = 65_536;
/** OpenID Connect Core §2: at most 255 ASCII characters. */
const SUBJECT = /^[\x20-\x7e]{1,255}$/;

/** What a browser brought back, and what it began with. */
export interface ReturnedCode {
  readonly code: string;
  readonly codeVerifier: string;
  /** `iss` beside the code; undefined without one. */
  readonly issuer: string | undefined;
  /** That the code was asked for with. */
  readonly nonce: string;
  /** The very one of the question. */
  readonly redirectUri: string;
  /** Unix seconds. */
  readonly now: number;
}

/** Lives as long as the server; owns what is known of the provider, and the client's secret. */
export class IdentityProvider {
  readonly name: string;
  readonly label: string;
  readonly issuer: string;
  readonly #clientId: string;
  readonly #authorization: string | null;
  readonly #metadata: FindMetadata;
  readonly #rules: TokenRules;
  readonly #fetch: SafeFetch;
  readonly #limit = createLimit();

  /** @throws TrustWardenError `config_invalid`, `file_mode_too_open` for a secret that others can read. */
  constructor(config: IdentityProviderConfig, openFetch: OpenFetch) {
    const { name, label, issuer, clientId, algorithms, maxTokenSeconds, endpoints } = config;
    this.name = name;
    this.label = label;
    this.issuer = issuer;
    this.#clientId = clientId;
    this.#authorization = formatClientSecret(config);
    this.#metadata = createMetadata(config, openFetch);
    const published = endpoints === undefined ? { discovery: discoveryOf(config) } : { jwks: endpoints.keys };
    const keys = createKeySource({ issuer, keys: published }, openFetch);
    this.#rules = { issuer, audience: clientId, algorithms, maxTokenSeconds, keys };
    this.#fetch = openFetch(endpoints?.token ?? discoveryOf(config));
  }

  /**
   * Where somebody is sent; the page adds its state and the challenge of its verifier.
   *
   * @throws TrustWardenError `identity_provider_unavailable`.
   */
  async authorizationUrl(asked: {
    readonly redirectUri: string;
    readonly nonce: string;
    readonly now: number;
  }): Promise<string> {
    const { authorizationEndpoint } = await translated(() => this.#metadata(asked.now));
    const url = new URL(authorizationEndpoint);
    const parameters = {
      response_type: "code",
      client_id: this.#clientId,
      redirect_uri: asked.redirectUri,
      scope: "openid",
      nonce: asked.nonce,
      code_challenge_method: "S256",
    };
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    return url.href;
  }

  /**
   * Whose code it is: the subject, which is the provider's own name for somebody.
   *
   * @throws TrustWardenError `identity_refused`, `identity_provider_unavailable`.
   */
  redeem(returned: ReturnedCode): Promise<string> {
    return translated(() => this.#limit(() => this.#subjectOf(returned)));
  }

  /** Where somebody ends its session at the provider; null where there is no such place, or nobody answers who knows. */
  async signOutUrl({
    origin,
    now,
  }: {
    readonly origin: string;
    readonly now: number;
  }): Promise<string | null> {
    const { endSessionEndpoint } = await this.#metadata(now).catch((error: unknown) => {
      // Safe to go on: the session here has ended, and this is only an address that is offered.
      if (error instanceof TrustWardenError) return { endSessionEndpoint: null };
      throw error;
    });
    if (endSessionEndpoint === null) return null;
    const url = new URL(endSessionEndpoint);
    url.searchParams.set("client_id", this.#clientId);
    url.searchParams.set("post_logout_redirect_uri", `${origin}/app`);
    return url.href;
  }

  async #subjectOf(returned: ReturnedCode): Promise<string> {
    const { tokenEndpoint, namesIssuer } = await this.#metadata(returned.now);
    // An answer of another provider, taken for one of this, would carry that provider's code here (mix-up).
    const isNamed = returned.issuer === this.issuer;
    if (returned.issuer === undefined ? namesIssuer : !isNamed) throw refused("iss of the answer");
    const token = await this.#fetchIdToken(tokenEndpoint, returned);
    const { claims } = await verifyToken(token, this.#rules, returned.now);
    if (claims.nonce !== returned.nonce) throw refused("nonce");
    if (claims.azp !== undefined && claims.azp !== this.#clientId) throw refused("azp");
    if (typeof claims.sub !== "string" || !SUBJECT.test(claims.sub)) throw refused("sub");
    return claims.sub;
  }

  async #fetchIdToken(url: string, { code, codeVerifier, redirectUri }: ReturnedCode): Promise<string> {
    const form = new URLSearchParams({
      grant_type: "authorization_code",
      code,
      redirect_uri: redirectUri,
      code_verifier: codeVerifier,
      ...(this.#authorization === null ? { client_id: this.#clientId } : {}),
    });
    const { status, body } = await this.#fetch({
      url,
      method: "POST",
      headers: {
        accept: "application/json",
        "content-type": "application/x-www-form-urlencoded",
        ...(this.#authorization === null ? {} : { authorization: this.#authorization }),
      },
      body: form.toString(),
      maxBytes: MAX_ANSWER_BYTES,
    });
    // 400 is of this code, 401 of our client: neither is this person's proof.
    if (status >= 500)
      throw new TrustWardenError("identity_provider_unavailable", { reason: "token endpoint" });
    if (status !== 200) throw refused(`the token endpoint says ${status}`);
    const { id_token: token } = parseAnswer(body);
    if (typeof token !== "string") throw refused("no ID token");
    return token;
  }
}

/** `authorization` of a confidential client: id and secret as a form would have them (RFC 6749 §2.3.1); null for a public one. */
function formatClientSecret({ clientId, clientSecretFile }: IdentityProviderConfig): string | null {
  if (clientSecretFile === undefined) return null;
  const secret = parseUtf8(readPrivateFile(clientSecretFile)).trim();
  const pair = [clientId, secret].map((text) => new URLSearchParams({ v: text }).toString().slice(2));
  return `Basic ${encodeBase64(encodeUtf8(pair.join(":")))}`;
}

function parseAnswer(body: Uint8Array): JsonObject {
  try {
    return parseJsonObject(parseUtf8(body), MAX_ANSWER_BYTES);
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    throw new TrustWardenError("identity_refused", { reason: "the answer is not JSON" }, { cause });
  }
}

/** What is bad evidence elsewhere is nobody's word here. */
async function translated<Value>(work: () => Promise<Value>): Promise<Value> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof TrustWardenError) || !cause.code.startsWith("attestation_")) throw cause;
    const code =
      cause.code === "attestation_unavailable" ? "identity_provider_unavailable" : "identity_refused";
    throw new TrustWardenError(code, { reason: cause.details.reason ?? cause.code }, { cause });
  }
}

function refused(reason: string): TrustWardenError {
  return new TrustWardenError("identity_refused", { reason });
}
