/** What the ledger holds since an attack began, as the operator reads it over the admin socket. */
import { setTimeout as sleep } from "node:timers/promises";
import { type EventView, eventAnswer, eventPage, statusAnswer } from "@trustwarden/core/api/ledger.ts";
import { parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { expect } from "../scenario.ts";
import { readAsOperator } from "./operator.ts";

/** The kind of event that the suite's own reading makes. */
const READING = "read";
/** A service reports outcomes a moment after its answers. */
const SETTLE_TRIES = 100;
const SETTLE_MS = 50;

/** What an event must be. */
export interface EventWanted {
  readonly kind?: string;
  /** The code or policy reason that it names. */
  readonly reason?: string;
  /** `authorized_by` of a control event, `agent_identity` of an action. */
  readonly principal?: string | RegExp;
  readonly outcome?: EventView["outcome"];
}

/** The ledger from one point on. */
export interface Evidence {
  readonly adminSocket: string;
  /** Every event with a record since, oldest first, without the reading of it. */
  events(): Promise<readonly EventView[]>;
  /** Those that began since and fit: an outcome may come from a call before. */
  matching(wanted: EventWanted): Promise<readonly EventView[]>;
  /** @throws Breach unless there are exactly, or at least, so many. */
  expect(wanted: EventWanted, count: number | { readonly atLeast: number }): Promise<readonly EventView[]>;
  /** @throws Breach when there is any event that began since. */
  expectNothing(): Promise<void>;
  /** Payloads of the records of an event, unverified. */
  payloads(eventId: string): Promise<readonly JsonObject[]>;
}

/** Size of the ledger now. */
export async function readLedgerSize(adminSocket: string): Promise<number> {
  return statusAnswer.parse(await readAsOperator(adminSocket, "/v1/status")).ledger.size;
}

/** The ledger from an index on. */
export function openEvidence(adminSocket: string, sinceIndex: number): Evidence {
  const events = () => readEvents(adminSocket, sinceIndex);
  const matching = async (wanted: EventWanted) =>
    (await events()).filter((event) => Math.min(...event.indexes) >= sinceIndex && fits(event, wanted));
  const settled = async (wanted: EventWanted, least: number) => {
    for (let tries = 1; ; tries += 1) {
      const found = await matching(wanted);
      if (found.length >= least || tries === SETTLE_TRIES) return found;
      await sleep(SETTLE_MS);
    }
  };
  return {
    adminSocket,
    events,
    matching,
    expect: async (wanted, count) => {
      const found = await settled(wanted, typeof count === "number" ? count : count.atLeast);
      const isEnough = typeof count === "number" ? found.length === count : found.length >= count.atLeast;
      const all = isEnough ? "" : JSON.stringify((await events()).map(describe));
      expect(
        isEnough,
        `the ledger holds ${found.length} events like ${describeWanted(wanted)}, not ${JSON.stringify(count)}; it holds ${all.slice(0, 1500)}`,
      );
      return found;
    },
    expectNothing: async () => {
      const found = await matching({});
      expect(
        found.length === 0,
        `nothing is recorded, and not ${JSON.stringify(found.map(describe)).slice(0, 800)}`,
      );
    },
    payloads: async (eventId) => {
      const { records } = eventAnswer.parse(await readAsOperator(adminSocket, `/v1/events/${eventId}`));
      return records.map(({ entry }) => parseUnverifiedPayload(parseEnvelope(entry)));
    },
  };
}

async function readEvents(adminSocket: string, sinceIndex: number): Promise<readonly EventView[]> {
  const found: EventView[] = [];
  let cursor = "";
  for (;;) {
    const page = eventPage.parse(await readAsOperator(adminSocket, `/v1/events?limit=500${cursor}`));
    const fresh = page.events.filter(({ indexes }) => Math.max(...indexes) >= sinceIndex);
    found.push(...fresh.filter(({ kind, authorized_by: by }) => !(kind === READING && by === "operator")));
    const isOver = page.events.some(({ indexes }) => Math.max(...indexes) < sinceIndex);
    if (isOver || page.next_cursor === null) return found.reverse();
    cursor = `&cursor=${page.next_cursor}`;
  }
}

function fits(event: EventView, { kind, reason, principal, outcome }: EventWanted): boolean {
  const who = event.kind === "action" ? event.agent_identity : event.authorized_by;
  const isWho =
    principal === undefined ||
    (typeof principal === "string" ? who === principal : principal.test(who ?? ""));
  return (
    isWho &&
    (kind === undefined || event.kind === kind) &&
    (reason === undefined || event.reasons.includes(reason)) &&
    (outcome === undefined || event.outcome === outcome)
  );
}

function describe({ kind, reasons, authorized_by, agent_identity, outcome }: EventView): readonly unknown[] {
  return [kind, reasons, kind === "action" ? agent_identity : authorized_by, outcome];
}

function describeWanted({ principal, ...rest }: EventWanted): string {
  return `${JSON.stringify(rest)} by ${String(principal ?? "anybody")}`;
}
