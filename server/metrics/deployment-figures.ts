/** The state of the deployment, read when somebody asks: counts and lags, no ids. */
import type { Services } from "../http/services.ts";
import { type Family, Gauge } from "./exposition.ts";
import { readGauge } from "./process-figures.ts";

/** Counting reads whole tables: with a million agents it takes tens of milliseconds, in which nothing else is answered. */
const COUNT_EVERY_MS = 60_000;

type Counts = ReturnType<Services["reads"]["counts"]>;

/** Owns the last counts. */
export class DeploymentFigures {
  /** Entries of the ledger that the index has been given. */
  readonly #indexed: () => number;
  #counted: { readonly counts: Counts; readonly atMs: number } | undefined;

  constructor(options: { readonly indexed: () => number }) {
    this.#indexed = options.indexed;
  }

  read(services: Services): readonly Family[] {
    const { ledger, feed, intake, gateway, reads, approvals } = services;
    const { size } = ledger.log;
    return [
      ...this.#readCounts(services),
      readGauge("trustwarden_epoch", "Number of the latest revocation or change.", reads.epoch()),
      readGauge(
        "trustwarden_leases",
        "Verifiers, nodes and relays with a connection to the feed.",
        feed.leases,
      ),
      readGauge("trustwarden_ledger_entries", "Entries in the ledger.", size),
      readGauge(
        "trustwarden_ledger_indexed_entries",
        "Entries that the index has been given; what is missing makes searches wait.",
        this.#indexed(),
      ),
      ...(ledger.witnessPolicy === null
        ? []
        : [
            readGauge(
              "trustwarden_ledger_witnessed_entries",
              "Entries under the newest checkpoint that enough witnesses cosigned.",
              ledger.witnessedSize ?? 0,
            ),
          ]),
      readPlaces(intake.admission),
      readGauge("trustwarden_gateway_calls", "Calls through the gateway that run now.", gateway.calls.size),
      readGauge("trustwarden_approval_waiters", "Requests that wait for a human's answer.", approvals.size),
    ];
  }

  #readCounts({ clock, reads }: Services): readonly Family[] {
    const nowMs = clock.monoMs();
    if (this.#counted === undefined || nowMs - this.#counted.atMs >= COUNT_EVERY_MS)
      this.#counted = { counts: reads.counts(), atMs: nowMs };
    const { owners, agents, liveInstances } = this.#counted.counts;
    return [
      readGauge("trustwarden_owners", "Owners.", owners),
      readGauge("trustwarden_agents", "Agents.", agents),
      readGauge(
        "trustwarden_live_instances",
        "Instances that are neither revoked nor expired.",
        liveInstances,
      ),
      readGauge(
        "trustwarden_agents_per_owner",
        "Agents per owner, over all owners; a jump is somebody who registers in bulk.",
        owners === 0 ? 0 : agents / owners,
      ),
    ];
  }
}

function readPlaces({ held, places }: Services["intake"]["admission"]): Family {
  const gauge = new Gauge(
    { name: "trustwarden_intake_places", help: "Records on their way to the ledger, and room for them." },
    { state: ["held", "all"] },
  );
  gauge.set({ state: "held" }, held);
  gauge.set({ state: "all" }, places);
  return gauge;
}
