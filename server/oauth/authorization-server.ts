/**
 * The OAuth authorization server of this deployment: its names, its endpoints, and what it remembers of DPoP proofs.
 *
 * The issuer is a path below the issuer of JWT-SVIDs, so that whoever trusts one of them does not take tokens of the
 * other (docs/decisions/0019).
 */
import { type DpopProof, verifyDpopProof } from "@trustwarden/core/dpop.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import { Nonces } from "../http/nonces.ts";
import type { Uses } from "../shared/uses.ts";
import type { AcceptedGrants } from "./accepted-grants.ts";
import type { ClientDocuments } from "./client-documents.ts";
import type { GivenGrants } from "./given-grants.ts";
import { SeenProofs } from "./seen-proofs.ts";

/** Path of each endpoint, on the main listener. */
export const TOKEN_PATH = "/oauth/token";
export const INTROSPECTION_PATH = "/oauth/introspect";
export const REVOCATION_PATH = "/oauth/revoke";
/** On the web listener too. */
export const JWKS_PATH = "/oauth/jwks";
/** Where our agents are described as clients of other servers. */
export const CLIENT_PATH = "/oauth/client";
/** RFC 8414 §3.1: the issuer's path comes behind. */
export const METADATA_PATH = "/.well-known/oauth-authorization-server/oauth";
const ISSUER_PATH = "/oauth";

/** What it is made of. */
export interface AuthorizationServerDeps {
  /** `iss` of JWT-SVIDs, an https origin. */
  readonly jwtIssuer: string;
  /** Whether the endpoints are on the web too, at the issuer's origin. */
  readonly isOnWeb: boolean;
  /** Origin at which clients reach the main listener; known once it listens. */
  readonly origin: () => string;
  /** Every origin at which the endpoints are, as clients may spell it. */
  readonly origins: () => readonly string[];
  readonly random: Random;
  /** Of proofs, at whichever server that shares the store they are shown. */
  readonly uses: Uses;
  /** Of nonces, where several servers take each other's; null for a key of its own. */
  readonly nonceKey: Uint8Array | null;
  readonly acceptedGrants: AcceptedGrants;
  readonly givenGrants: GivenGrants;
  readonly documents: ClientDocuments;
}

/** Owns the nonces and the memory of proofs. */
export class AuthorizationServer {
  readonly #deps: AuthorizationServerDeps;
  readonly #nonces: Nonces;
  readonly #seen: SeenProofs;
  readonly #seenWorkloadProofs: SeenProofs;
  readonly #seenAttestations: SeenProofs;

  constructor(deps: AuthorizationServerDeps) {
    this.#deps = deps;
    const { random, nonceKey, uses } = deps;
    this.#nonces = nonceKey === null ? new Nonces(random) : new Nonces(random, nonceKey);
    this.#seen = new SeenProofs("dpop", uses);
    this.#seenWorkloadProofs = new SeenProofs("wpt", uses);
    this.#seenAttestations = new SeenProofs("attestation", uses);
  }

  /** `iss` of access tokens, and the audience of client assertions. */
  get issuer(): string {
    return `${this.#deps.jwtIssuer}${ISSUER_PATH}`;
  }

  /** Where the keys and the metadata are read: with the issuer's other documents. */
  get publicOrigin(): string {
    return this.#deps.jwtIssuer;
  }

  /** Grants of others that count here. */
  get acceptedGrants(): AcceptedGrants {
    return this.#deps.acceptedGrants;
  }

  /** For whom grants of ours are given. */
  get givenGrants(): GivenGrants {
    return this.#deps.givenGrants;
  }

  /** Clients that are named by a URL. */
  get documents(): ClientDocuments {
    return this.#deps.documents;
  }

  /** Whether clients without a certificate have the web listener. */
  get isOnWeb(): boolean {
    return this.#deps.isOnWeb;
  }

  /** URL of an endpoint on the main listener, where certificates are asked for. */
  endpoint(path: string): string {
    return `${this.#deps.origin()}${path}`;
  }

  /** A fresh value for the `DPoP-Nonce` header. @param now - Unix seconds. */
  nonce(now: number): string {
    return this.#nonces.issue(now).nonce;
  }

  /**
   * The proof of a request to one of the endpoints: ours, fresh, and shown for the first time.
   *
   * @param request.now - Unix seconds.
   * @throws TrustWardenError `dpop_invalid`, `dpop_nonce_missing`, `dpop_replayed` or `store_unavailable`.
   * @see RFC 9449 §4.3, §8 and §11.1
   */
  async verifyProof(
    text: string,
    request: { readonly method: string; readonly path: string; readonly now: number },
  ): Promise<DpopProof> {
    const { method, path, now } = request;
    const urls = this.#deps.origins().map((origin) => `${origin}${path}`);
    const proof = verifyDpopProof(text, { method, urls, accessToken: null, now });
    this.requireFreshNonce(proof.nonce, now);
    await this.claimProof(proof, now);
    return proof;
  }

  /** @throws TrustWardenError `dpop_nonce_missing`. */
  requireFreshNonce(nonce: string | null, now: number): void {
    if (!this.isFreshNonce(nonce, now)) throw new TrustWardenError("dpop_nonce_missing");
  }

  /** Whether a nonce is one of ours and at most a minute old. */
  isFreshNonce(nonce: string | null, now: number): boolean {
    return nonce !== null && this.#nonces.isFresh(nonce, now);
  }

  /** Uses up a workload proof token. @throws TrustWardenError `wpt_replayed`, `rate_limited`, `store_unavailable`. */
  claimWorkloadProof(proof: Parameters<SeenProofs["claim"]>[0], now: number): Promise<void> {
    return this.#seenWorkloadProofs.claim(proof, now);
  }

  /**
   * Uses up the proof beside a WIT-SVID.
   *
   * @throws TrustWardenError `client_attestation_replayed`, `rate_limited`, `store_unavailable`.
   */
  claimAttestation(proof: Parameters<SeenProofs["claim"]>[0], now: number): Promise<void> {
    return this.#seenAttestations.claim(proof, now);
  }

  /** Uses up a proof. @throws TrustWardenError `dpop_replayed`, `rate_limited`, `store_unavailable`. */
  claimProof(proof: DpopProof, now: number): Promise<void> {
    return this.#seen.claim(proof, now);
  }
}
