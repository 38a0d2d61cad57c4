/** What an operator has the gateway keep of the calls to an upstream, besides the commitments in the ledger. */
import { TrustWardenError } from "../error.ts";
import type { Json, JsonObject } from "../json.ts";

/** Nothing, or request and answer, encrypted, for operators to read and to erase. */
export type Disclosure = "none" | "full";

/** The member `disclose` of an upstream's settings. @throws TrustWardenError `upstream_malformed`. */
export function parseDisclosure(json: Json | undefined): Disclosure {
  if (json === undefined) return "none";
  if (json === "none" || json === "full") return json;
  throw new TrustWardenError("upstream_malformed", { field: "disclose" });
}

/** Of an upstream of any kind; one whose kind has no such setting keeps nothing. */
export function disclosureOf({ settings }: { readonly settings: JsonObject }): Disclosure {
  return parseDisclosure(settings.disclose);
}
