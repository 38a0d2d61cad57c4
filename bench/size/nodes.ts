/**
 * Node daemons that renew what they hold, in a process of its own: each with its own kept connections, speaking the protocol by the
 * node's own code, keys and checks included.
 *
 * One order comes on standard input as JSON; one report leaves on standard output.
 */

import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { SvidHolder, systemRuntime } from "trustwarden/peer.ts";
import { joinWithToken } from "../../node/node-identity.ts";
import type { IssuedInstance, Registry } from "../../node/registry.ts";
import { ServerRegistry } from "../../node/server-registry.ts";

/** What the process is told. */
export interface NodesOrder {
  readonly tokens: readonly string[];
  /** Held by each node. */
  readonly instances: number;
  /** Renewals a second, of all nodes together. */
  readonly rate: number;
  /** Renewals of one node that fall due at one instant. */
  readonly together: number;
  readonly seconds: number;
  /** Renewals before those that count: a server that has just begun compiles what it runs. */
  readonly warmUp: number;
}

/** What it reports. */
export interface NodesReport {
  readonly held: number;
  readonly renewed: number;
  readonly failed: number;
  readonly seconds: number;
  /** Milliseconds of each renewal, nonce included. */
  readonly times: readonly number[];
  readonly errors: readonly string[];
}

/** Renewals that one node has under way. */
const PARALLEL_ISSUES = 4;
const WARM_UP_MS = 300_000;

interface Holding {
  readonly registry: Registry;
  instance: IssuedInstance;
}

const [line] = await once(createInterface(process.stdin), "line");
const order: NodesOrder = JSON.parse(String(line));
const held = (await Promise.all(order.tokens.map(hold))).flat();
process.stdout.write(`${JSON.stringify({ held: held.length })}\n`);
await renewSteadily(held, { total: order.warmUp, boundMs: WARM_UP_MS });
process.stdout.write(`${JSON.stringify({ warm: order.warmUp })}\n`);
const counted = { total: order.rate * order.seconds, boundMs: order.seconds * 1500 };
process.stdout.write(`${JSON.stringify(await renewSteadily(held, counted))}\n`);
process.exit(0);

async function hold(token: string): Promise<readonly Holding[]> {
  const runtime = systemRuntime;
  const identity = await joinWithToken({ token, runtime });
  const holder = new SvidHolder({
    first: identity.credential,
    renew: async (current) => current,
    instanceExpiresAt: identity.answer.svid_expires_at,
    runtime,
  });
  const { registry } = new ServerRegistry({
    server: identity.server,
    holder,
    compositions: new Map(),
    runtime,
  });
  await registry.refresh();
  const entries = await registry.entries();
  const waiting = Array.from({ length: order.instances }, (_, at) => entries[at % entries.length]);
  const made: Holding[] = [];
  await Promise.all(
    Array.from({ length: PARALLEL_ISSUES }, async () => {
      for (let entry = waiting.pop(); entry !== undefined; entry = waiting.pop()) {
        const attestation = {
          processKey: "bench",
          selectors: entry.selectors,
          facts: { pid: 1, uid: 1000, exe: "/usr/bin/agent", strength: "unix" } as const,
        };
        made.push({ registry, instance: await registry.createInstance(entry, attestation) });
      }
    }),
  );
  return made;
}

/** At the rate, whatever the answers take; what falls due while everybody waits is begun late and counted. */
async function renewSteadily(
  all: readonly Holding[],
  { total, boundMs }: { readonly total: number; readonly boundMs: number },
): Promise<NodesReport> {
  const times: number[] = [];
  const errors = new Set<string>();
  const free = inGroups(all);
  const under = new Set<Promise<void>>();
  let failed = 0;
  const startedMs = performance.now();
  for (let begun = 0; begun < total; ) {
    const dueMs = startedMs + (begun / order.rate) * 1000;
    if (dueMs > performance.now()) await sleep(dueMs - performance.now());
    if (performance.now() - startedMs > boundMs) break;
    const group = free.shift();
    if (group === undefined) {
      await Promise.race(under);
      continue;
    }
    begun += group.length;
    const renewing = Promise.all(
      group.map((one) =>
        renew(one, times).catch((error: unknown) => {
          failed += 1;
          errors.add(String(error).slice(0, 200));
        }),
      ),
    ).then(() => undefined);
    under.add(renewing);
    void renewing.finally(() => {
      under.delete(renewing);
      free.push(group);
    });
  }
  await Promise.all(under);
  const seconds = (performance.now() - startedMs) / 1000;
  return { held: all.length, renewed: times.length, failed, seconds, times, errors: [...errors] };
}

/** What falls due together is of one node; the nodes in turns. */
function inGroups(all: readonly Holding[]): Holding[][] {
  const groups = [...Map.groupBy(all, ({ registry }) => registry).values()].flatMap((own) =>
    Array.from({ length: Math.ceil(own.length / order.together) }, (_, at) => ({
      at,
      group: own.slice(at * order.together, (at + 1) * order.together),
    })),
  );
  return groups.sort((one, other) => one.at - other.at).map(({ group }) => group);
}

async function renew(one: Holding, times: number[]): Promise<void> {
  const startedMs = performance.now();
  one.instance = await one.registry.renewInstance(one.instance);
  times.push(performance.now() - startedMs);
}
