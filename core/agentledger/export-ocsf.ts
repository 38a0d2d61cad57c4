/**
 * Events in the Open Cybersecurity Schema Framework: actions as API Activity, what concerns identities as Entity
 * Management, permissions as Authorize Session.
 *
 * What ties an event to the ledger stands under `unmapped`, since the profile for it comes with 1.9.
 *
 * @see OCSF 1.8.0, classes 6003, 3004 and 3003
 */
import type { ExportSource } from "./export.ts";
import type { JoinedEvent } from "./join.ts";

const OCSF_VERSION = "1.8.0";

interface OcsfClass {
  readonly uid: number;
  readonly name: string;
  readonly category: { readonly uid: number; readonly name: string };
}

const APPLICATION = { uid: 6, name: "Application Activity" } as const;
const IDENTITY = { uid: 3, name: "Identity & Access Management" } as const;
const API_ACTIVITY: OcsfClass = { uid: 6003, name: "API Activity", category: APPLICATION };
const ENTITY_MANAGEMENT: OcsfClass = { uid: 3004, name: "Entity Management", category: IDENTITY };
const AUTHORIZE_SESSION: OcsfClass = { uid: 3003, name: "Authorize Session", category: IDENTITY };

interface Activity {
  readonly id: number;
  readonly name: string;
}

const OTHER: Activity = { id: 99, name: "Other" };
const CREATE: Activity = { id: 1, name: "Create" };
const READ: Activity = { id: 2, name: "Read" };
const UPDATE: Activity = { id: 3, name: "Update" };
const DELETE: Activity = { id: 4, name: "Delete" };
const ENROLL: Activity = { id: 6, name: "Enroll" };
const DEACTIVATE: Activity = { id: 11, name: "Deactivate" };
const ASSIGN_PRIVILEGES: Activity = { id: 1, name: "Assign Privileges" };

/** Verbs of scopes, as far as the class has a word for them. */
const VERBS: ReadonlyMap<string, Activity> = new Map([
  ...["create", "post", "issue", "spawn"].map((verb) => [verb, CREATE] as const),
  ...["read", "list", "get", "fetch", "search", "query"].map((verb) => [verb, READ] as const),
  ...["write", "update", "patch", "put", "edit"].map((verb) => [verb, UPDATE] as const),
  ...["delete", "remove", "drop"].map((verb) => [verb, DELETE] as const),
]);

/** Control events about an identity. */
const ENTITIES: ReadonlyMap<string, Activity> = new Map([
  ["issue", CREATE],
  ["owner", CREATE],
  ["entry", CREATE],
  ["node", ENROLL],
  ["renew", UPDATE],
  ["narrow", UPDATE],
  ["transfer", UPDATE],
  ["revoke", DEACTIVATE],
]);

/** Control events by which somebody may do something for a while. */
const PERMISSIONS: readonly string[] = ["ticket", "token", "jwt", "wit", "approval"];

const STATUS = {
  success: { status_id: 1, status: "Success" },
  failure: { status_id: 2, status: "Failure" },
  aborted: { status_id: 2, status: "Failure" },
  denied: { status_id: 2, status: "Failure" },
  pending: { status_id: 0, status: "Unknown" },
} as const satisfies Record<JoinedEvent["outcome"], object>;

/** One event in its class. */
export function formatOcsf(event: JoinedEvent, source: ExportSource): object {
  const entity = ENTITIES.get(event.kind);
  if (entity !== undefined) {
    const managed = { entity: { uid: subjectOf(event), type: event.kind }, actor: actorOf(event) };
    return { ...baseOf(event, source, { ocsf: ENTITY_MANAGEMENT, activity: entity }), ...managed };
  }
  if (PERMISSIONS.includes(event.kind)) {
    const granted = { user: { uid: subjectOf(event) }, privileges: [event.resource ?? event.kind] };
    const activity = event.outcome === "success" ? ASSIGN_PRIVILEGES : OTHER;
    return {
      ...baseOf(event, source, { ocsf: AUTHORIZE_SESSION, activity }),
      ...granted,
      actor: actorOf(event),
    };
  }
  const verb = event.action?.slice(0, event.action.indexOf(":")) ?? event.kind;
  const activity = VERBS.get(verb) ?? OTHER;
  return {
    ...baseOf(event, source, { ocsf: API_ACTIVITY, activity }),
    api: { operation: event.action ?? event.kind, service: { name: event.enforcement ?? "trustwarden" } },
    actor: actorOf(event),
    src_endpoint: { uid: event.agent_identity ?? event.authorized_by },
    ...(event.resource === null ? {} : { resources: [{ uid: event.resource }] }),
  };
}

function baseOf(
  event: JoinedEvent,
  { origin, version }: ExportSource,
  { ocsf, activity }: { readonly ocsf: OcsfClass; readonly activity: Activity },
): object {
  const isDenied = event.outcome === "denied";
  return {
    class_uid: ocsf.uid,
    class_name: ocsf.name,
    category_uid: ocsf.category.uid,
    category_name: ocsf.category.name,
    activity_id: activity.id,
    activity_name: activity.name,
    type_uid: ocsf.uid * 100 + activity.id,
    type_name: `${ocsf.name}: ${activity.name}`,
    time: Date.parse(event.timestamp),
    severity_id: isDenied ? 3 : 1,
    severity: isDenied ? "Medium" : "Informational",
    ...STATUS[event.outcome],
    status_detail: [event.outcome, ...event.reasons].join(", "),
    message: `${event.action ?? event.kind} on ${event.resource ?? "-"}: ${event.outcome}`,
    metadata: {
      version: OCSF_VERSION,
      product: { name: "TrustWarden", vendor_name: "TrustWarden", version },
      uid: `${event.event_id}/${event.indexes.at(-1) ?? 0}`,
      correlation_uid: event.event_id,
      event_code: event.kind,
      log_name: origin,
      original_time: event.timestamp,
    },
    unmapped: {
      agent: { id: event.agent_id, parent_id: event.parent_agent_id, chain: [...event.chain] },
      record_integrity: { chain_uid: origin, indexes: [...event.indexes], signature: event.signature },
    },
  };
}

function actorOf(event: JoinedEvent): object {
  return {
    app_uid: event.agent_id ?? event.authorized_by,
    ...(event.owner_id === null ? {} : { user: { uid: event.owner_id } }),
    ...(event.agent_identity === null ? {} : { session: { uid: event.agent_identity } }),
    authorizations: [
      { decision: event.outcome === "denied" ? "denied" : "allowed", policy: { uid: event.authorized_by } },
    ],
  };
}

function subjectOf(event: JoinedEvent): string {
  return event.agent_identity ?? event.resource ?? event.agent_id ?? event.event_id;
}
