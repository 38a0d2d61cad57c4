/**
 * What an agent published elsewhere: text of anybody's, in which an event is named by its receipt or by its id.
 *
 * Only finds what is named. Nothing here proves anything, and what stands around it is never proven by it.
 */

/** An id as the ledger writes it, and not the middle of something longer. */
const EVENT_ID =
  /(?<![0-9A-Za-z-])[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}(?![0-9A-Za-z-])/g;
/** The value of a `TrustWarden-Receipt` header: base64url of an object, longer than any word, and no part of a JWT. */
const RECEIPT = /(?<![A-Za-z0-9_-]|[A-Za-z0-9_-]\.)eyJ[A-Za-z0-9_-]{200,}(?![A-Za-z0-9_-]|\.[A-Za-z0-9_-])/g;

/** What a text names, each once. */
export interface Named {
  readonly receipts: readonly string[];
  readonly eventIds: readonly string[];
}

export function namedIn(text: string): Named {
  const once = (pattern: RegExp) => [...new Set(text.match(pattern))];
  return { receipts: once(RECEIPT), eventIds: once(EVENT_ID) };
}
