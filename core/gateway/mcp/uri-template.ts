/**
 * Whether a URI is one that a pinned template makes. Only simple expressions `{name}` are understood, each for one
 * plain segment; a template with operators matches nothing, and its URIs have to be pinned one by one.
 *
 * No regular expression is built from the server's words, so none can be made to backtrack (F21): the work is at most
 * the length of the template times that of the URI.
 *
 * @see RFC 6570 §3.2.2
 */
import { isResourceUri } from "./names.ts";

const EXPRESSION = /\{([^{}]*)\}/;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
const PLAIN_CHARACTER = /^[A-Za-z0-9_.~-]$/;

/** Whether the template makes the URI, with a plain segment for each of its variables. */
export function matchesTemplate(template: string, uri: string): boolean {
  if (!isResourceUri(uri)) return false;
  const parts = template.split(EXPRESSION);
  // Every second part is what stood in braces.
  const isSimple = parts.every((part, index) => (index % 2 === 1 ? VARIABLE.test(part) : !/[{}]/.test(part)));
  if (!isSimple) return false;
  let places: ReadonlySet<number> = new Set([0]);
  for (const [index, part] of parts.entries()) {
    places = index % 2 === 1 ? afterVariable(uri, places) : afterLiteral(uri, places, part);
  }
  return places.has(uri.length);
}

function afterLiteral(uri: string, places: ReadonlySet<number>, literal: string): ReadonlySet<number> {
  return new Set([...places].filter((at) => uri.startsWith(literal, at)).map((at) => at + literal.length));
}

/** Every place that is at least one plain character after one of these. */
function afterVariable(uri: string, places: ReadonlySet<number>): ReadonlySet<number> {
  const reached = new Set<number>();
  for (let at = Math.min(...places); at < uri.length; at += 1) {
    const isOpen = places.has(at) || reached.has(at);
    if (isOpen && PLAIN_CHARACTER.test(uri[at] ?? "")) reached.add(at + 1);
  }
  return reached;
}
