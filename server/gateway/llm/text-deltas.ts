/**
 * The pieces of text in one event of a model's stream, and what each continues: in every vendor's form a reader puts the
 * pieces of one place together, so a string that is cut over two events is whole to the reader and to nobody else.
 */
import { isJsonObject, type Json } from "@trustwarden/core/json.ts";

/** Deeper than any vendor nests a delta. */
const MAX_DEPTH = 8;
/** Say what a piece is, and are no part of it. */
const LABELS: ReadonlySet<string> = new Set(["type", "role", "id", "index"]);

/** A piece of text. */
export interface TextDelta {
  /** The place that it continues: the same for all pieces that belong together. */
  readonly channel: string;
  readonly text: string;
}

/** OpenAI's `choices[].delta` and `choices[].text`, the events `response.*.delta`, Anthropic's `content_block_delta`. */
export function textDeltasOf(event: Json): readonly TextDelta[] {
  if (!isJsonObject(event)) return [];
  const found: TextDelta[] = [];
  if (Array.isArray(event.choices)) collect(event.choices, "choices", { found, depth: 0 });
  if (event.delta !== undefined) {
    const { type, item_id: item, output_index: output, content_index: content, index } = event;
    const channel = JSON.stringify([type, item, output, content, index]);
    collect(event.delta, channel, { found, depth: 0 });
  }
  return found;
}

function collect(
  value: Json | undefined,
  channel: string,
  { found, depth }: { readonly found: TextDelta[]; readonly depth: number },
): void {
  if (depth > MAX_DEPTH) return;
  const below = { found, depth: depth + 1 };
  if (typeof value === "string") {
    if (value !== "") found.push({ channel, text: value });
  } else if (Array.isArray(value)) {
    // A delta names the place that it continues; without a name the position is the place.
    value.forEach((item: Json, at: number) => {
      const index = isJsonObject(item) && typeof item.index === "number" ? item.index : at;
      collect(item, `${channel}/${index}`, below);
    });
  } else if (isJsonObject(value)) {
    for (const [name, member] of Object.entries(value))
      if (!LABELS.has(name)) collect(member, `${channel}/${name}`, below);
  }
}
