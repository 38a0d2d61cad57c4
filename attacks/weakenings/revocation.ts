/** Weakenings of stops: how long a lease lasts, whom a stop waits for, and which of two stops holds. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const REVOCATION_WEAKENINGS = {
  "waiting-links-hold-the-stop-lane": [
    { file: "server/http/listeners.ts", find: "    server.closeIdleConnections();\n", replace: "" },
  ],
  "restores-forget-stops": [
    {
      file: "server/backup/settle-state.ts",
      find: "      ifThere(() => revoke(this.#database, { context, target: { kind: target, id }, ownerId, reason }));\n",
      replace:
        '      ifThere(() => revoke(this.#database, { context, target: { kind: target, id }, ownerId, reason }));\n      this.#database.run("UPDATE instances SET revoked_epoch = NULL");\n',
    },
  ],
  "stopped-keys-say-anything": [
    {
      file: "server/http/acts/outcomes.ts",
      find: '  throw new TrustWardenError("identity_revoked", { instance_id: principal.instanceId });\n',
      replace: "",
    },
  ],
  "stops-take-places": [
    {
      file: "server/http/door.ts",
      find: '  return route.path === HEALTH || (route.access !== "public" && route.isStopLane);\n',
      replace: "  return route.path === HEALTH;\n",
    },
  ],
  "stops-not-waited-for": [
    {
      file: "core/revocation/lease-registry.ts",
      find: '    if (barrier.waiting.size > 0) return { state: "pending", checkAtMs: barrier.checkAtMs };\n',
      replace: "",
    },
  ],
  "leases-without-end": [
    {
      file: "core/revocation/view.ts",
      find: "if (!(elapsedMs(lease.sent, now) < lease.leaseMs)) {",
      replace: "if (lease.leaseMs < 0) {",
    },
  ],
  "first-stop-holds": [
    {
      file: "server/store/commands/revoke.ts",
      find: "  UPDATE agents SET is_revoked = 1, revoked_at = MAX(COALESCE(revoked_at, 0), ?)\n",
      replace: "  UPDATE agents SET is_revoked = 1, revoked_at = COALESCE(revoked_at, ?)\n",
    },
    {
      file: "server/store/commands/revoke.ts",
      find: '"UPDATE agents SET is_revoked = 1, revoked_at = MAX(COALESCE(revoked_at, 0), ?)"',
      replace: '"UPDATE agents SET is_revoked = 1, revoked_at = COALESCE(revoked_at, ?)"',
    },
  ],
  "streams-are-anybodys": [
    {
      file: "server/ssf/streams.ts",
      find: "live === undefined || live.state.receiver !== receiver",
      replace: "live === undefined",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
