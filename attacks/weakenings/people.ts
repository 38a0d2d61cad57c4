/** Weakenings of what people prove, may and may not do alone. */
import type { SourceEdit } from "../source-edit.ts";

const AUTHENTICATE = "server/http/authenticate.ts";

/** Edits by name. */
export const PEOPLE_WEAKENINGS = {
  "pages-of-any-site": [
    {
      file: "server/http/arrival.ts",
      find: '  if (isForeign || (method !== "GET" && !isOwn)) throw',
      replace: '  if (isForeign && isOwn && method !== "GET") throw',
    },
    {
      file: "server/console/session-proof.ts",
      find: '  if (headers["sec-fetch-site"] !== "same-origin") throw new TrustWardenError("request_cross_site");\n',
      replace: "",
    },
  ],
  "roles-unasked": [
    {
      file: AUTHENTICATE,
      find: '  if (principal.kind !== "person" || route.roles === undefined) return;\n',
      replace: "  if (principal.kind.length > 0 || route.roles === undefined) return;\n",
    },
  ],
  "addresses-of-anybody": [
    {
      file: "server/store/commands/people/register.ts",
      find: "  if (addressLook !== null && database.get(FIND_LOOK, addressLook) !== undefined) {",
      replace:
        "  if (addressLook !== null && database.get(FIND_LOOK, addressLook.toUpperCase().slice(1)) !== undefined) {",
    },
  ],
  "subjects-of-anybody": [
    {
      file: "server/store/people-rows.ts",
      find: "WHERE issuer = ? AND subject = ?",
      replace: "WHERE issuer = ? AND length(?) > 0",
    },
  ],
  "links-of-anybody": [
    {
      file: "server/store/people-rows.ts",
      find: 'const FIND_LINK = "SELECT * FROM person_links WHERE link_sha256 = ? AND used_at IS NULL AND expires_at > ?";',
      replace:
        "const FIND_LINK = \"SELECT * FROM person_links WHERE ? <> '' AND used_at IS NULL AND expires_at > ?\";",
    },
    {
      file: "server/store/commands/people/links.ts",
      find: "database.run(USE, now, linkSha256, now)",
      replace: "database.run(USE, now, link.linkSha256, now)",
    },
  ],
  "challenges-count-again": [
    {
      file: "server/store/commands/people/passkeys.ts",
      find: "if (database.run(CLAIM, id, expiresAt).changes === 0) throw",
      replace: "if (database.run(CLAIM, id, expiresAt).changes > 1) throw",
    },
  ],
  "one-is-enough": [
    {
      file: "server/console/confirm.ts",
      find: "  return isBound && route.needsConfirmation?.(services, question) === true;\n",
      replace:
        "  return isBound && kind.length === 0 && route.needsConfirmation?.(services, question) === true;\n",
    },
  ],
  "pages-without-end": [
    {
      file: "server/console/reading-allowance.ts",
      find: "  return read >= allowanceOf(services, kind);\n",
      replace: "  return read >= 1000 * allowanceOf(services, kind);\n",
    },
    {
      file: "server/console/counted-reads.ts",
      find: "  if (before[kind] < allowanceOf(services, kind) || isConfirmed(services, visit)) return;\n",
      replace:
        "  if (before[kind] < 1000 * allowanceOf(services, kind) || isConfirmed(services, visit)) return;\n",
    },
  ],
  "restores-wait-for-nobody": [
    {
      file: "server/approvals/held.ts",
      find: "  return reads.restore()?.isHeld === true;\n",
      replace: "  return reads.restore()?.isTold === false;\n",
    },
  ],
  "admin-rows-everywhere": [
    {
      file: "server/http/route.ts",
      find: 'export const ADMIN_ONLY: readonly ListenerName[] = ["admin"];',
      replace: 'export const ADMIN_ONLY: readonly ListenerName[] = ["admin", "main"];',
    },
  ],
  "sessions-everywhere": [
    {
      file: AUTHENTICATE,
      find: '  if (arrival.listener === "console") return proveVisitor',
      replace:
        '  if (arrival.listener === "console" || arrival.headers.cookie !== undefined) return proveVisitor',
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
