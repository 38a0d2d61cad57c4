/** The state of the deployment, read when somebody asks: counts and lags, no ids. */
import type { Notices } from "@trustwarden/core/notices.ts";
import type { Services } from "../http/services.ts";
import { type Family, Gauge } from "./exposition.ts";
import { readGauge } from "./process-figures.ts";

/** @param options.indexed - entries of the ledger that the index has been given. */
export function readDeployment(
  services: Services,
  {
    indexed,
    notices,
  }: { readonly indexed: () => number; readonly notices: Pick<Notices, "isLinked"> | undefined },
): readonly Family[] {
  const { ledger, feed, intake, gateway, reads, approvals } = services;
  const { size } = ledger.log;
  return [
    ...readCounts(services),
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
      indexed(),
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
    ...(notices === undefined
      ? []
      : [
          readGauge(
            "trustwarden_notices_linked",
            "1 while NATS carries the notices of servers that share a store, 0 while they look by the clock.",
            notices.isLinked ? 1 : 0,
          ),
        ]),
    readPlaces(intake.admission, {
      name: "trustwarden_intake_places",
      help: "Records on their way to the ledger, and room for them.",
    }),
    readPlaces(intake.requests, {
      name: "trustwarden_request_places",
      help: "Requests and calls on their way, and room for them; room shrinks when the server's thread comes late.",
    }),
    readGauge("trustwarden_gateway_calls", "Calls through the gateway that run now.", gateway.calls.size),
    readGauge("trustwarden_approval_waiters", "Requests that wait for a human's answer.", approvals.size),
  ];
}

function readCounts({ reads }: Services): readonly Family[] {
  const { owners, agents, liveInstances } = reads.counts();
  return [
    readGauge("trustwarden_owners", "Owners.", owners),
    readGauge("trustwarden_agents", "Agents.", agents),
    readGauge("trustwarden_live_instances", "Instances that are neither revoked nor expired.", liveInstances),
    readGauge(
      "trustwarden_agents_per_owner",
      "Agents per owner, over all owners; a jump is somebody who registers in bulk.",
      owners === 0 ? 0 : agents / owners,
    ),
  ];
}

function readPlaces(
  { held, places }: { readonly held: number; readonly places: number },
  about: { readonly name: string; readonly help: string },
): Family {
  const gauge = new Gauge(about, { state: ["held", "all"] });
  gauge.set({ state: "held" }, held);
  gauge.set({ state: "all" }, places);
  return gauge;
}
