/**
 * The parameters of an action as policies may see them: one bounded JSON object.
 *
 * What a policy gets to read is limited here, since whoever calls chooses it; what it means is the adapter's business.
 */
import type { JsonObject } from "../json.ts";

/** Deeper than the arguments of any tool that people write. */
const MAX_DEPTH = 12;
/** Members and items in all. */
const MAX_NODES = 4096;
/** Characters of all keys and texts in all. */
const MAX_CHARS = 131_072;
/** Characters that a number or word may take. */
const SCALAR_CHARS = 24;

/** What is left to spend on one object. */
interface Room {
  nodes: number;
  chars: number;
}

/** Whether a value is plain JSON within the limits. */
export function isBoundedObject(value: unknown): value is JsonObject {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject && isBounded(value, MAX_DEPTH, { nodes: MAX_NODES, chars: MAX_CHARS });
}

function isBounded(value: unknown, depth: number, room: Room): boolean {
  room.nodes -= 1;
  if (room.nodes < 0 || depth < 0) return false;
  switch (typeof value) {
    case "string":
      return isBoundedText(value, room);
    case "number":
      return Number.isFinite(value) && spend(room, SCALAR_CHARS);
    case "boolean":
      return spend(room, SCALAR_CHARS);
    case "object":
      return value === null ? spend(room, SCALAR_CHARS) : isBoundedContainer(value, depth, room);
    case "bigint":
    case "function":
    case "symbol":
    case "undefined":
      return false;
  }
}

function isBoundedContainer(value: object, depth: number, room: Room): boolean {
  if (Array.isArray(value)) {
    return Array.from(value).every((item: unknown) => isBounded(item, depth - 1, room));
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  return Object.entries(value).every(
    ([key, member]) => isBoundedText(key, room) && isBounded(member, depth - 1, room),
  );
}

/** Half a surrogate pair would be another text for every reader. */
function isBoundedText(text: string, room: Room): boolean {
  return spend(room, text.length) && text.isWellFormed();
}

function spend(room: Room, chars: number): boolean {
  room.chars -= chars;
  return room.chars >= 0;
}
