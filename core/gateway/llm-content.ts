/**
 * What the content of a request to a model API reaches for beyond itself: addresses that the provider would fetch, and state
 * that lies in the provider's account.
 *
 * An address is a way out for data (`https://evil.test/?q=<secret>`) that the egress rules never see. Stored state is shared by
 * everybody behind the same upstream key, so one agent could read what another one left.
 */
import { isJsonObject, type Json, type JsonObject } from "../json.ts";

/** Members that hold an address. */
const ADDRESSES: ReadonlySet<string> = new Set([
  "url",
  "image_url",
  "file_url",
  "audio_url",
  "video_url",
  "server_url",
]);
/** Members that name something which lies at the provider. */
const REFERENCES: ReadonlySet<string> = new Set([
  "file_id",
  "file_ids",
  "container_id",
  "vector_store_ids",
  "previous_response_id",
  "conversation",
  "prompt_cache_id",
]);
/** Members whose insides are the caller's own words: schemas of its tools, arguments of earlier calls. */
const OPAQUE: ReadonlySet<string> = new Set(["input_schema", "parameters", "schema", "metadata"]);
/** Blocks whose `input` is what the model asked a tool for. */
const TOOL_USES: ReadonlySet<string> = new Set(["tool_use", "server_tool_use", "mcp_tool_use"]);

/** @see LlmCall */
export interface ContentFacts {
  readonly hasRemoteContent: boolean;
  readonly usesStoredState: boolean;
}

/** Looks through a whole request; its depth and size are bounded by the parser. */
export function findContentFacts(body: JsonObject): ContentFacts {
  const found = { hasRemoteContent: false, usesStoredState: leavesState(body) };
  walk(body, found);
  return found;
}

/** Members of the request itself; `store: false` is what a provider must be told to keep nothing. */
function leavesState({ store, background, prompt, audio }: JsonObject): boolean {
  const isStored = (store !== undefined && store !== null && store !== false) || background === true;
  const namesPrompt = isJsonObject(prompt) && prompt.id !== undefined;
  const namesVoice = isJsonObject(audio) && audio.id !== undefined;
  return isStored || namesPrompt || namesVoice;
}

interface Found {
  hasRemoteContent: boolean;
  usesStoredState: boolean;
}

function walk(value: Json, found: Found): void {
  if (Array.isArray(value)) for (const item of value) walk(item, found);
  else if (isJsonObject(value)) walkMembers(value, found);
}

function walkMembers(block: JsonObject, found: Found): void {
  if (block.type === "item_reference") found.usesStoredState = true;
  const isToolUse = typeof block.type === "string" && TOOL_USES.has(block.type);
  for (const [key, member] of Object.entries(block)) {
    if (OPAQUE.has(key) || (isToolUse && key === "input")) continue;
    if (REFERENCES.has(key) && member !== null) found.usesStoredState = true;
    if (ADDRESSES.has(key) && isRemote(member)) found.hasRemoteContent = true;
    walk(member, found);
  }
}

function isRemote(value: Json): boolean {
  return typeof value === "string" && !/^data:/i.test(value);
}
