/**
 * Identity assertion grants (ID-JAG) that we give: for which authorization servers, and what of our scope stands behind
 * each of their words. Pure.
 *
 * @see draft-ietf-oauth-identity-assertion-authz-grant-03 §4.3
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseScope, type Scope } from "@trustwarden/core/scope.ts";
import type { GrantAudienceConfig } from "./config.ts";

/** A server that grants are given for. */
interface GrantAudience extends Pick<GrantAudienceConfig, "issuer" | "resources" | "clientId"> {
  /** Each of its words, and what an agent has to have for it. */
  readonly scopes: ReadonlyMap<string, Scope>;
}

/** What a grant will say, apart from who asks. */
export interface GivenGrant {
  readonly audience: string;
  readonly resource: string;
  /** The client as the server knows it; null for its SPIFFE ID. */
  readonly clientId: string | null;
  /** In the server's words. */
  readonly words: readonly string[];
  /** What each link of the chains has to cover. */
  readonly scope: Scope;
}

/** The servers of the configuration. */
export class GivenGrants {
  readonly #audiences: ReadonlyMap<string, GrantAudience>;

  /** @throws TrustWardenError `config_invalid`, `scope_malformed`. */
  constructor(configured: readonly GrantAudienceConfig[]) {
    this.#audiences = new Map(configured.map((config) => [config.issuer, parseAudience(config)]));
    if (this.#audiences.size !== configured.length) {
      throw new TrustWardenError("config_invalid", { reason: "oauth.grantAudiences names an issuer twice" });
    }
  }

  /** Whether there are any. */
  get isServed(): boolean {
    return this.#audiences.size > 0;
  }

  /**
   * What is asked for, when the configuration knows the server, its resource and each word.
   *
   * @throws TrustWardenError `target_malformed`, `scope_malformed`.
   */
  plan(asked: {
    readonly audience?: string | undefined;
    readonly resource?: string | undefined;
    readonly scope?: string | undefined;
  }): GivenGrant {
    const { audience, resource, scope } = asked;
    const known = this.#audiences.get(audience ?? "");
    if (known === undefined || resource === undefined || !known.resources.includes(resource)) {
      throw new TrustWardenError("target_malformed");
    }
    const words = [...new Set(scope?.split(" ") ?? [])];
    const atoms = words.flatMap((word) => known.scopes.get(word) ?? refuseWord(word));
    if (atoms.length === 0) throw new TrustWardenError("scope_malformed", { reason: "empty" });
    const { issuer, clientId = null } = known;
    return { audience: issuer, resource, clientId, words, scope: parseScope([...new Set(atoms)]) };
  }
}

function parseAudience({ scopes, ...config }: GrantAudienceConfig): GrantAudience {
  const words = Object.entries(scopes).map(([word, atoms]) => [word, parseScope(atoms)] as const);
  return { ...config, scopes: new Map(words) };
}

function refuseWord(word: string): never {
  throw new TrustWardenError("scope_malformed", { reason: `unknown word ${word.slice(0, 64)}` });
}
