/**
 * The one resource that a token is for, in a spelling that nobody has to normalise before comparing it.
 *
 * @see RFC 8707 §2
 */
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** https anywhere, http on this machine; lower-case host, no user, query, fragment, dots to resolve or escapes. */
const URL_FORM =
  /^(?:https:\/\/(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:]+\])|http:\/\/(?:127\.0\.0\.1|localhost|\[::1\]))(?::[1-9][0-9]{0,4})?(?:\/(?!\.{0,2}\/|\.{1,2}$)[A-Za-z0-9._~-]*)*$/;
const MAX_CHARS = 1024;

/**
 * A resource from untrusted text: an https URL, or the SPIFFE ID of a service or agent.
 *
 * @throws TrustWardenError `target_malformed`, also when none is named.
 */
export function parseResource(text: string | undefined): string {
  if (text === undefined || text.length > MAX_CHARS) return refuse();
  if (URL_FORM.test(text)) return text;
  try {
    return parseSpiffeId(text);
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    return refuse(cause);
  }
}

function refuse(cause?: TrustWardenError): never {
  throw new TrustWardenError("target_malformed", {}, { cause });
}
