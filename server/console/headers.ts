/**
 * Headers of everything that the console's listener sends, so that a page of ours loads nothing of anybody else, runs no
 * text as a program, is shown in no frame and tells nobody where it was (K3).
 *
 * @see W3C CSP Level 3; Trusted Types; Fetch Metadata
 */

/** Only files of this origin; strings never become programs or markup. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": CONTENT_SECURITY_POLICY,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
  "origin-agent-cluster": "?1",
  "permissions-policy":
    "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=(), publickey-credentials-get=(self), publickey-credentials-create=(self)",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

/** @param isTls - whether browsers must come back over TLS only. */
export function consoleHeaders(isTls: boolean): Readonly<Record<string, string>> {
  return isTls ? { ...HEADERS, "strict-transport-security": "max-age=31536000" } : HEADERS;
}
