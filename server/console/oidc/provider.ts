/**
 * One identity provider: where somebody is sent, and what the code is worth that comes back.
 *
 * The nonce is a challenge of ours, which counts once; verifier and state never leave the browser that began. Nothing but the
 * ID token is kept of an answer, and of that nothing but whose subject it is: no address, name or group of it is
 * believed here. The protocol is `relying-party.ts`, which is loaded when somebody comes, and not before.
 */
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { OpenFetch } from "../../attest/token-source.ts";
import { readPrivateFile } from "../../signer/private-file.ts";
import { type IdentityProviderConfig, requireForBrowsers } from "./config.ts";
import type { RelyingParty } from "./relying-party.ts";
import { createWayOut } from "./way-out.ts";

/** A question that a page is about to ask. */
export interface Asked {
  readonly redirectUri: string;
  readonly nonce: string;
  /** Unix seconds. */
  readonly now: number;
}

/** What a browser brought back, and what it began with. */
export interface ReturnedCode extends Asked {
  readonly code: string;
  readonly codeVerifier: string;
  /** `iss` beside the code; undefined without one. */
  readonly issuer: string | undefined;
}

/** Somebody whose session here has ended. */
export interface SigningOut {
  /** Of the console. */
  readonly origin: string;
  /** Unix seconds. */
  readonly now: number;
}

/** Lives as long as the server; owns the client's secret. */
export class IdentityProvider {
  readonly name: string;
  readonly label: string;
  readonly issuer: string;
  readonly #load: () => Promise<RelyingParty>;
  #party: Promise<RelyingParty> | undefined;

  /**
   * @throws TrustWardenError `config_invalid` for files and places that cannot be used, which are looked at here, at the start;
   *   `file_mode_too_open` for a secret that others can read.
   */
  constructor(config: IdentityProviderConfig, openFetch: OpenFetch) {
    this.name = config.name;
    this.label = config.label;
    this.issuer = config.issuer;
    if (config.endpoints !== undefined) requireForBrowsers(config.endpoints.authorization);
    const secret = readSecret(config);
    const fetch = createWayOut(config, openFetch);
    this.#load = async () => {
      const library = await import("./relying-party.ts");
      return new library.RelyingParty(config, { secret, fetch });
    };
  }

  /**
   * Where somebody is sent; the page adds its state and the challenge of its verifier.
   *
   * @throws TrustWardenError `identity_provider_unavailable`.
   */
  async authorizationUrl(asked: Asked): Promise<string> {
    return (await this.#relyingParty()).authorizationUrl(asked);
  }

  /**
   * Whose code it is: the subject, which is the provider's own name for somebody.
   *
   * @throws TrustWardenError `identity_refused`, `identity_provider_unavailable`.
   */
  async redeem(returned: ReturnedCode): Promise<string> {
    return (await this.#relyingParty()).redeem(returned);
  }

  /** Where somebody ends its session at the provider; null where there is no such place, or nobody answers who knows. */
  async signOutUrl(signingOut: SigningOut): Promise<string | null> {
    return (await this.#relyingParty()).signOutUrl(signingOut);
  }

  #relyingParty(): Promise<RelyingParty> {
    this.#party ??= this.#load();
    return this.#party;
  }
}

/** The secret of a confidential client; null for a public one. */
function readSecret({ clientSecretFile }: IdentityProviderConfig): string | null {
  if (clientSecretFile === undefined) return null;
  const secret = parseUtf8(readPrivateFile(clientSecretFile)).trim();
  if (secret !== "") return secret;
  const reason = "the client's secret is empty";
  throw new TrustWardenError("config_invalid", { setting: "console.identityProviders", reason });
}
