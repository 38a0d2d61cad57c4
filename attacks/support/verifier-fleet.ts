/** Verifiers in processes of their own, some behind a link with faults, as a scenario of stage J drives them. */
import { type TestInstance, verifierTicket } from "../../test/support/actors.ts";
import { type FaultyLink, openFaultyLink } from "../../test/support/faulty-link.ts";
import { expect } from "../scenario.ts";
import type { WatchReport, WatchTask } from "./leased-verifiers.ts";
import type { World } from "./world.ts";

/** Some verifiers of one process. */
interface Verifiers {
  /** Tells them what to watch, until each of them allows it. */
  watch(target: TestInstance): Promise<void>;
  report(): Promise<WatchReport>;
}

/** Verifiers with a way of their own to the server, and others behind a link. */
export interface Fleet {
  readonly near: Verifiers;
  readonly far: Verifiers;
  /** Before the far ones. */
  readonly link: FaultyLink;
}

/** Starts so many verifiers on each side; each has a lease when this resolves. */
export async function openFleet(world: World, leasesEach: number): Promise<Fleet> {
  const stopPort = Number(new URL(world.server.stopUrl).port);
  const link = await openFaultyLink(stopPort);
  const [near, far] = [
    await openVerifiers(world, leasesEach, stopPort),
    await openVerifiers(world, leasesEach, link.port),
  ];
  return { near, far, link };
}

async function openVerifiers(world: World, leases: number, stopPort: number): Promise<Verifiers> {
  const ticket = await verifierTicket(world.server, { name: world.name("watched") });
  const child = await world.launch({
    args: [
      "attacks/support/leased-verifiers.ts",
      "--leases",
      String(leases),
      "--stop-port",
      String(stopPort),
    ],
    env: { TRUSTWARDEN_TICKET: ticket },
  });
  const ask = async (task?: WatchTask): Promise<WatchReport> => {
    const sent = task === undefined ? {} : { method: "POST", body: JSON.stringify(task) };
    return JSON.parse(await (await fetch(String(child.ready.url), sent)).text());
  };
  const watch = async ({ answer }: TestInstance) => {
    const task = { ids: [answer.instance_id] };
    // A busy machine lets a lease lapse for a moment; a stop is about those who allow.
    await waitUntilEach({ report: () => ask(task) }, "allowed");
  };
  return { watch, report: () => ask() };
}

/** Whether each of them says one of these; nobody is not each. */
export function isEach({ verdicts }: WatchReport, ...wanted: readonly string[]): boolean {
  return verdicts.length > 0 && verdicts.every((verdict) => wanted.includes(verdict));
}

/** Those that allowed after an instant of `process.hrtime`. */
export function countAfter({ lastAllows }: WatchReport, instant: bigint): number {
  return lastAllows.filter((last) => last !== null && BigInt(last) > instant).length;
}

/** Waits until each of the verifiers says one of these. @throws Breach after a minute. */
export async function waitUntilEach(
  verifiers: Pick<Verifiers, "report">,
  ...wanted: readonly string[]
): Promise<void> {
  const endMs = performance.now() + 60_000;
  while (!isEach(await verifiers.report(), ...wanted)) {
    expect(performance.now() < endMs, `every verifier comes to say ${wanted.join(" or ")}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
