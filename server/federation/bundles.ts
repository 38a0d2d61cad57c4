/**
 * Every bundle that this server trusts, each by its own trust domain: its own, and those of federated ones.
 *
 * A federated bundle stays the same object until it changes, since proofs are remembered against that object.
 */
import { formatBundleMap } from "@trustwarden/core/agentid/bundle-map.ts";
import type { BundleSource } from "@trustwarden/core/agentid/ports.ts";
import type { TrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import {
  formatTrustBundle,
  parseTrustBundle,
  type TrustBundle,
} from "@trustwarden/core/agentid/trust-bundle.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import type { FederationState } from "../store/ports.ts";

interface Federated {
  readonly text: string;
  readonly document: JsonObject;
  readonly bundle: TrustBundle;
}

/** Owns the federated bundles in memory; what the store holds, as of the last `load`. */
export class KnownBundles implements BundleSource {
  readonly #own: () => TrustBundle;
  #federated: ReadonlyMap<TrustDomain, Federated> = new Map();

  constructor(own: () => TrustBundle) {
    this.#own = own;
  }

  get(trustDomain: TrustDomain): TrustBundle | undefined {
    const own = this.#own();
    return own.trustDomain === trustDomain ? own : this.#federated.get(trustDomain)?.bundle;
  }

  /** Whether there is any trust domain but ours. */
  get isFederated(): boolean {
    return this.#federated.size > 0;
  }

  /** All of them, our own first. */
  list(): readonly TrustBundle[] {
    return [this.#own(), ...Array.from(this.#federated.values(), ({ bundle }) => bundle)];
  }

  /** Takes over what is committed; a relationship that is gone is trusted no more when this returns. */
  load(federations: readonly FederationState[]): void {
    this.#federated = new Map(
      federations.flatMap(({ trustDomain, bundle: text }) => {
        if (text === null) return [];
        const known = this.#federated.get(trustDomain);
        return [[trustDomain, known?.text === text ? known : parseFederated(text, trustDomain)] as const];
      }),
    );
  }

  /** The bundle map, our own bundle in it. @see SPIFFE Trust Domain and Bundle §5 */
  format(): string {
    const own = this.#own();
    return formatBundleMap(
      new Map([
        [own.trustDomain, parseJsonObject(formatTrustBundle(own))],
        ...Array.from(this.#federated, ([name, { document }]) => [name, document] as const),
      ]),
    );
  }
}

function parseFederated(text: string, trustDomain: TrustDomain): Federated {
  return { text, document: parseJsonObject(text), bundle: parseTrustBundle(text, trustDomain) };
}
