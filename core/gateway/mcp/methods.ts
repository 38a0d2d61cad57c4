/**
 * Every method of the MCP revisions that are served, and what each means to the gateway. Closed: what is not on this
 * list is refused, in both directions, so a method that a later revision invents is no way around the decision.
 *
 * `2025-06-18` differs from `2025-11-25` in nothing that is decided here; it is what older servers negotiate down to.
 * The tasks of either revision are refused: a task outlives the call that was decided, and nothing would be asked when
 * its result is fetched.
 *
 * @see MCP 2026-07-28 "Schema reference"; MCP 2025-11-25 "Schema reference".
 */

/** The stateless era: every request says its version, its client and its capabilities. */
export const MODERN_VERSION = "2026-07-28";
/** The era of `initialize` and sessions; the newest first. */
export const LEGACY_VERSIONS = ["2025-11-25", "2025-06-18"] as const;

export type Era = "modern" | "legacy";

/** What a client's request is about; `actions.ts` makes the action of it. */
export type Subject =
  /** Handshake, liveness, log level, subscriptions: what a client needs before it can ask for anything. */
  "server" | "tools" | "resources" | "prompts" | "tool" | "resource" | "prompt" | "completion";

interface MethodEntry {
  readonly eras: readonly Era[];
  readonly subject: Subject;
}

const BOTH: readonly Era[] = ["modern", "legacy"];
const MODERN: readonly Era[] = ["modern"];
const LEGACY: readonly Era[] = ["legacy"];

/** Requests of a client. */
export const CLIENT_REQUESTS: Readonly<Record<string, MethodEntry>> = {
  "server/discover": { eras: MODERN, subject: "server" },
  "subscriptions/listen": { eras: MODERN, subject: "server" },
  initialize: { eras: LEGACY, subject: "server" },
  ping: { eras: LEGACY, subject: "server" },
  "logging/setLevel": { eras: LEGACY, subject: "server" },
  "tools/list": { eras: BOTH, subject: "tools" },
  "tools/call": { eras: BOTH, subject: "tool" },
  "resources/list": { eras: BOTH, subject: "resources" },
  "resources/templates/list": { eras: BOTH, subject: "resources" },
  "resources/read": { eras: BOTH, subject: "resource" },
  "resources/subscribe": { eras: LEGACY, subject: "resource" },
  "resources/unsubscribe": { eras: LEGACY, subject: "resource" },
  "prompts/list": { eras: BOTH, subject: "prompts" },
  "prompts/get": { eras: BOTH, subject: "prompt" },
  "completion/complete": { eras: BOTH, subject: "completion" },
};

/** Notifications of a client. */
export const CLIENT_NOTIFICATIONS: Readonly<Record<string, MethodEntry>> = {
  "notifications/initialized": { eras: LEGACY, subject: "server" },
  "notifications/cancelled": { eras: BOTH, subject: "server" },
  "notifications/progress": { eras: LEGACY, subject: "server" },
  "notifications/roots/list_changed": { eras: LEGACY, subject: "server" },
};

/** What a server may ask of its client, when the upstream's settings allow it. */
export const CLIENT_FEATURES = ["elicitation", "sampling", "roots"] as const;
export type ClientFeature = (typeof CLIENT_FEATURES)[number];

/** Requests of a server: sent on a stream in the legacy era, inside an `input_required` result in the modern one. */
export const SERVER_REQUESTS: Readonly<Record<string, ClientFeature>> = {
  "elicitation/create": "elicitation",
  "sampling/createMessage": "sampling",
  "roots/list": "roots",
};

/** Notifications of a server that are passed on. */
export const SERVER_NOTIFICATIONS: Readonly<Record<string, readonly Era[]>> = {
  "notifications/cancelled": BOTH,
  "notifications/progress": BOTH,
  "notifications/message": BOTH,
  "notifications/resources/updated": BOTH,
  "notifications/resources/list_changed": BOTH,
  "notifications/tools/list_changed": BOTH,
  "notifications/prompts/list_changed": BOTH,
  "notifications/elicitation/complete": LEGACY,
  "notifications/subscriptions/acknowledged": MODERN,
};

/** Methods that the revisions name and the gateway refuses on purpose, each for the reason above. */
export const REFUSED_METHODS: readonly string[] = [
  "tasks/get",
  "tasks/result",
  "tasks/list",
  "tasks/update",
  "tasks/cancel",
  "notifications/tasks/status",
];

/** What a method means in an era; undefined for what is refused. */
export function subjectOf(kind: "request" | "notification", method: string, era: Era): Subject | undefined {
  const table = kind === "request" ? CLIENT_REQUESTS : CLIENT_NOTIFICATIONS;
  const entry = Object.hasOwn(table, method) ? table[method] : undefined;
  return entry?.eras.includes(era) === true ? entry.subject : undefined;
}

/** The member of the parameters that the header `Mcp-Name` repeats; undefined where there is none. */
export function nameMemberOf(method: string): "name" | "uri" | undefined {
  if (method === "tools/call" || method === "prompts/get") return "name";
  return method === "resources/read" ? "uri" : undefined;
}
