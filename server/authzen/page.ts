/**
 * Pages of a search: an opaque token says where the last page ended, and which search it belongs to.
 *
 * @see Authorization API 1.0 §8.2: what is asked has to stay the same from page to page.
 */
import type { ActionSearch, ResourceSearch, SubjectSearch } from "@trustwarden/core/api/authzen.ts";
import { encodeBase64url, encodeUtf8, parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** Enough to notice another search; a token opens nothing, so nobody gains by forging one. */
const DIGEST_CHARS = 16;

/** What one page found. */
export interface FoundPage<Found> {
  readonly results: readonly Found[];
  /** Empty after the last page. */
  readonly nextToken: string;
}

/** Where a search goes on. */
export interface SearchCursor {
  /** Name of the last candidate; empty at the start. */
  readonly after: string;
  /** Of everything that was asked. */
  readonly digest: string;
}

/** The cursor of a search. @throws TrustWardenError `request_malformed` for a token of another search, or none of ours. */
export function parseToken(search: SubjectSearch | ResourceSearch | ActionSearch): SearchCursor {
  const { page, ...asked } = search;
  const digest = encodeBase64url(
    sha256(encodeUtf8(JSON.stringify({ ...asked, limit: page?.limit ?? null }))),
  );
  const short = digest.slice(0, DIGEST_CHARS);
  const token = page?.token ?? "";
  if (token === "") return { after: "", digest: short };
  const text = parseUtf8(parseBase64url(token));
  if (!text.startsWith(`${short}.`))
    throw new TrustWardenError("request_malformed", { reason: "page token" });
  return { after: text.slice(DIGEST_CHARS + 1), digest: short };
}

/** The token that leads on from a cursor. */
export function formatToken({ after, digest }: SearchCursor): string {
  return encodeBase64url(encodeUtf8(`${digest}.${after}`));
}
