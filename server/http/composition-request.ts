/** A composition as requests declare it, as commands take it. */
import {
  type Composition,
  digestOfComposition,
  selectorsOfComposition,
} from "@trustwarden/core/agentid/composition.ts";
import { formatSelectors } from "@trustwarden/core/agentid/selector.ts";

/** The digest of a composition; null when none was declared. */
export function digestOrNull(composition: Composition | null): string | null {
  return composition === null ? null : digestOfComposition(composition);
}

/** The selectors that a composition gives; none when none was declared. */
export function selectorTextsOf(composition: Composition | null): readonly string[] {
  return composition === null ? [] : formatSelectors(selectorsOfComposition(composition));
}
