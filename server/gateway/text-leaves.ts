/**
 * The pieces of text in one event of a stream whose form nobody told us: each string by the member that holds it.
 *
 * Positions in a list are no part of a place, because who reads a list of parts puts them together; what has no place of
 * its own any more, because there are too many, shares one, so that no upstream can make the search forget.
 */
import { isJsonObject, type Json } from "@trustwarden/core/json.ts";
import type { TextDelta } from "./llm/text-deltas.ts";

/** Deeper members share the place of the one above them. */
const MAX_DEPTH = 32;
/** Fewer than may be searched at once, with room for the shared one. */
const MAX_PLACES = 128;
const SHARED_PLACE = "others";

/** Lives as long as one stream; owns the names of its places. */
export class TextLeaves {
  readonly #places = new Set<string>();

  /** @param event - what was parsed of it, or its text where that is no JSON. */
  read(event: Json): readonly TextDelta[] {
    const found: TextDelta[] = [];
    this.#collect(event, { place: "", depth: 0, found });
    return found;
  }

  #collect(
    value: Json | undefined,
    at: { readonly place: string; readonly depth: number; readonly found: TextDelta[] },
  ): void {
    if (typeof value === "string") {
      if (value !== "") at.found.push({ channel: this.#placeOf(at.place), text: value });
    } else if (Array.isArray(value)) {
      for (const item of value) this.#collect(item, at);
    } else if (isJsonObject(value)) {
      for (const [name, member] of Object.entries(value)) {
        const place = at.depth < MAX_DEPTH ? `${at.place}/${name}` : at.place;
        this.#collect(member, { ...at, place, depth: at.depth + 1 });
      }
    }
  }

  #placeOf(place: string): string {
    if (this.#places.has(place)) return place;
    if (this.#places.size >= MAX_PLACES) return SHARED_PLACE;
    this.#places.add(place);
    return place;
  }
}
