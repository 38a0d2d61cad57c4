/**
 * The three questions about each event of an evidence bundle: which agent, who authorized it, what stops or stopped it.
 *
 * Reads records that an audit has proven; it proves nothing itself.
 */
import { parseEnvelope, parseUnverifiedPayload } from "../dsse.ts";
import type { ControlRecord } from "../event.ts";
import { isEnding, namesOf } from "./audit-revocations.ts";
import type { EventIndexes } from "./evidence-bundle.ts";
import { type JoinedEvent, joinRecord } from "./join.ts";
import type { UnverifiedRecord } from "./record.ts";

/** One signed document that let somebody be. */
export interface Delegation {
  /** Owner id, SPIFFE ID of the parent, or the server's for a service. */
  readonly by: string;
  readonly document: "ticket" | "grant" | "entry" | "registration";
  /** By what it was signed; a passkey's word is that of a human whom the device had verified. */
  readonly signedBy: "key" | "passkey";
  /** SPIFFE ID of the instance that it was for. */
  readonly subject: string;
  readonly scope: readonly string[];
  /** Log index of the event that carries it. */
  readonly index: number;
}

/** What is known of one event. */
export interface EventAnswer {
  readonly event: JoinedEvent;
  /** From the owner down to the instance; empty for an event without an agent. */
  readonly authorizedBy: readonly Delegation[];
  /** Refusal reasons, and revocations and transfers of anybody in the chain, as far as the bundle holds them. */
  readonly stoppedBy: readonly string[];
}

/** The records of a bundle, by log index. */
export type BundleRecords = ReadonlyMap<number, UnverifiedRecord>;

/** Answers about each event of the list, in its order. */
export function answerEvents(
  events: readonly EventIndexes[],
  records: BundleRecords,
): readonly EventAnswer[] {
  const controls = [...records].flatMap(([index, { unverified }]) =>
    unverified.kind === "control" && unverified.value.allow ? [{ index, control: unverified.value }] : [],
  );
  const issues = controls.filter(({ control }) => control.kind === "issue");
  const revocations = controls.filter(({ control }) => isEnding(control));
  return events.flatMap(({ indexes }) => {
    const event = joinAll(indexes, records);
    if (event === null) return [];
    const { agent_identity: identity, outcome, reasons, chain } = event;
    const names = new Set(identity === null ? [] : namesOf(identity, chain));
    const until = indexes[1] ?? indexes[0] ?? -1;
    const stops = revocations.filter(({ control }) => names.has(control.subject ?? ""));
    return [
      {
        event,
        authorizedBy: identity === null ? [] : delegationsOf(identity, { issues, until }),
        stoppedBy: [
          ...(outcome === "denied" ? [`denied: ${reasons.join(", ")} (${event.authorized_by})`] : []),
          ...stops.map(formatStop),
        ],
      },
    ];
  });
}

interface Issue {
  readonly index: number;
  readonly control: ControlRecord;
}

function joinAll(indexes: readonly number[], records: BundleRecords): JoinedEvent | null {
  let event: JoinedEvent | null = null;
  for (const index of indexes) {
    const record = records.get(index);
    if (record !== undefined) event = joinRecord(event, record, index);
  }
  return event;
}

/**
 * From the owner down, each issued before the one that it let be: a workload of elsewhere may be registered anew when it
 * had ended, and what it did before was by the word of before.
 */
function delegationsOf(
  identity: string,
  { issues, until }: { readonly issues: readonly Issue[]; readonly until: number },
): readonly Delegation[] {
  const found: Delegation[] = [];
  let subject = identity;
  let last = until;
  for (;;) {
    const issue = issues.findLast((one) => one.index <= last && one.control.subject === subject);
    if (issue === undefined) return found;
    const delegation = delegationOf(subject, issue);
    found.unshift(delegation);
    if (delegation.document !== "grant") return found;
    subject = delegation.by;
    last = issue.index - 1;
  }
}

function delegationOf(subject: string, { index, control }: Issue): Delegation {
  const { enrolment, via, scope } = control.details;
  const envelope = parseEnvelope(String(enrolment));
  const { owner, parent } = parseUnverifiedPayload(envelope);
  const by = typeof parent === "string" ? parent : typeof owner === "string" ? owner : control.principal;
  const atoms = Array.isArray(scope) ? scope.map(String) : [];
  const signedBy = envelope.assertion === null ? "key" : "passkey";
  return { by, document: documentOf(via, parent), signedBy, subject, scope: atoms, index };
}

function documentOf(via: unknown, parent: unknown): Delegation["document"] {
  if (via === "entry") return "entry";
  if (via === "foreign") return "registration";
  return typeof parent === "string" ? "grant" : "ticket";
}

function formatStop({ index, control }: Issue): string {
  const { kind, subject, details, epoch, time } = control;
  const what =
    kind === "transfer"
      ? `given away: ${subject} by ${details.from} to ${details.owner}`
      : `revoked: ${subject}`;
  return `${what} at epoch ${epoch}, ${time} (entry ${index})`;
}
