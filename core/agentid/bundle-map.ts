/**
 * Bundle maps: the bundles of several trust domains in one document, each under its own name and never merged.
 *
 * A name may appear once: of two bundles for one trust domain, two readers could trust different ones, and
 * `JSON.parse` would not even notice. The strict JSON reader refuses the repeated name.
 *
 * @see SPIFFE Trust Domain and Bundle §5
 */
import { TrustWardenError } from "../error.ts";
import { formatCanonicalJson, isJsonObject, type JsonObject, parseJsonObject } from "../json.ts";
import { parseTrustDomain, type TrustDomain } from "./spiffe-id.ts";
import { parseTrustBundleJson, type TrustBundle } from "./trust-bundle.ts";

/** More relationships than any operator keeps an eye on. */
export const MAX_BUNDLES = 256;
const MAX_MAP_CHARS = 4_194_304;

/**
 * The bundles of a map, by trust domain.
 *
 * @throws TrustWardenError `bundle_malformed`, `spiffe_id_malformed` for a name that is no trust domain, or the JSON
 *   codes, `json_duplicate_key` among them.
 */
export function parseBundleMap(text: string): ReadonlyMap<TrustDomain, TrustBundle> {
  const { trust_domains: bundles } = parseJsonObject(text, MAX_MAP_CHARS);
  if (!isJsonObject(bundles)) throw malformed("trust_domains");
  const entries = Object.entries(bundles);
  if (entries.length > MAX_BUNDLES) throw malformed("too many trust domains");
  return new Map(
    entries.map(([name, document]) => {
      if (!isJsonObject(document)) throw malformed("not a bundle");
      const trustDomain = parseTrustDomain(name);
      return [trustDomain, parseTrustBundleJson(document, trustDomain)];
    }),
  );
}

/** The map of bundle documents as they were published, so that keys of kinds that we do not use stay in. */
export function formatBundleMap(documents: ReadonlyMap<TrustDomain, JsonObject>): string {
  return formatCanonicalJson({ trust_domains: Object.fromEntries(documents) });
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("bundle_malformed", { reason });
}
