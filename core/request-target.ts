/**
 * The target of a request, with one reading only.
 *
 * A proxy, a policy and a backend that read `//`, `..`, `%2f` or `;` differently let one path be decided and another
 * be served. So a path here is plain segments and nothing else; whatever needs decoding is refused, never decoded.
 *
 * @see RFC 9112 section 3.2 (origin-form only)
 */
import { TrustWardenError } from "./error.ts";

/** Longer than any target that our own routes use. */
const MAX_TARGET_CHARS = 4096;
const MAX_SEGMENTS = 32;

/** Spelling of one path segment; no percent sign, so nothing is ever decoded. */
const SEGMENT = /^[A-Za-z0-9_.~-]+$/;
/** Visible ASCII; the query takes no part in choosing the route and is bound by the intent's commitment. */
const QUERY = /^[\x21-\x7e]*$/;

/** A request target that everybody reads alike. */
export interface RequestTarget {
  /** As sent: path and query. */
  readonly text: string;
  /** Without the query; starts with a slash. */
  readonly path: string;
  /** The path's segments; empty for `/`. */
  readonly segments: readonly string[];
}

/**
 * The target of an HTTP request line.
 *
 * @throws TrustWardenError `request_malformed` for an absolute form, a fragment, an empty, dotted or encoded segment.
 */
export function parseRequestTarget(text: string): RequestTarget {
  if (text.length > MAX_TARGET_CHARS || !text.startsWith("/")) throw malformed("form");
  const mark = text.indexOf("?");
  const path = mark === -1 ? text : text.slice(0, mark);
  if (mark !== -1 && !QUERY.test(text.slice(mark + 1))) throw malformed("query");
  if (text.includes("#")) throw malformed("fragment");
  const segments = path === "/" ? [] : path.slice(1).split("/");
  if (segments.length > MAX_SEGMENTS) throw malformed("segments");
  if (!segments.every(isPlainSegment)) throw malformed("segment");
  return { text, path, segments };
}

/** Whether text is one segment that no reader takes for anything else; a trailing dot is dropped by some of them. */
export function isPlainSegment(text: string): boolean {
  return SEGMENT.test(text) && !text.endsWith(".");
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("request_malformed", { reason: `target: ${reason}` });
}
