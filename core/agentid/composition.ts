/**
 * What an agent is made of: digests of its model, prompts, tools and skills, declared when its identity is issued.
 *
 * A declaration, not a measurement: it is bound to the instance, shown in the ledger and to policies, and a renewal
 * that declares anything else is refused, so that drift needs a new instance. Who checks it against the running
 * process is whoever declares it.
 */
import { encodeBase64url } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import { encodeCanonicalJson } from "../json.ts";
import type { Selector } from "./selector.ts";

const PARTS = ["model", "prompts", "skills", "tools"] as const;

/** SHA-256 digests, base64url; a part that is absent is not declared. */
export type Composition = { readonly [Part in (typeof PARTS)[number]]?: string | undefined };

/** The declared parts alone, as they cross the wire. */
export function formatComposition(composition: Composition): Record<string, string> {
  const members: Record<string, string> = {};
  for (const part of PARTS) {
    const digest = composition[part];
    if (digest !== undefined) members[part] = digest;
  }
  return members;
}

/** base64url SHA-256 of the composition as JCS. */
export function digestOfComposition(composition: Composition): string {
  return encodeBase64url(sha256(encodeCanonicalJson(formatComposition(composition))));
}

/** The selectors that an entry may ask for: `composition:<part>:<digest>` of each part, and of the whole. */
export function selectorsOfComposition(composition: Composition): readonly Selector[] {
  const parts = Object.entries(formatComposition(composition));
  const all = [...parts, ["sha256", digestOfComposition(composition)] as const];
  return all.map(([part, digest]) => ({ type: "composition", value: `${part}:${digest}` }));
}
