/**
 * Long campaigns against two servers that share a store: `node test/support/replica-run.ts [--kills 20] [--campaigns 1]
 * [--troubles] [--nats] [--namespaces] [--from <folder of another version>]
 * [--histories 0]`; the last is how many histories are recorded and checked before.
 *
 * Prints what each saw. Exits with 1 when anything does not hold.
 */
import { parseArgs } from "node:util";
import { latestVersion, MIGRATIONS } from "../../server/store/migrations/steps.ts";
import { startNats } from "./nats.ts";
import { ReplicaCampaign } from "./replica-campaign.ts";
import { HISTORY_SETTINGS, requireLinearizable } from "./replica-histories.ts";
import { startReplicas } from "./replicas.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "20" },
    campaigns: { type: "string", default: "1" },
    troubles: { type: "boolean", default: false },
    nats: { type: "boolean", default: false },
    namespaces: { type: "boolean", default: false },
    from: { type: "string" },
    histories: { type: "string", default: "0" },
  },
});

async function play(): Promise<void> {
  const nats = values.nats ? await startNats() : undefined;
  const { troubles, namespaces, from } = values;
  const campaign = await ReplicaCampaign.begin({
    ...(nats !== undefined && { notices: nats.settings }),
    ...(from !== undefined && { from: { directory: from, store: latestVersion(MIGRATIONS) } }),
    hasTroubles: troubles,
    hasNamespaces: namespaces,
  });
  try {
    const { gapsMs, ...seen } = await campaign.run(Number(values.kills));
    const sorted = gapsMs.toSorted((one, other) => one - other).map(Math.round);
    const gap = { median: sorted[sorted.length >> 1], max: sorted.at(-1) };
    console.log(
      JSON.stringify({ ...seen, gap_ms: gap, with: { nats: values.nats, troubles, namespaces, from } }),
    );
  } finally {
    await campaign.end();
    await nats?.close();
  }
}

/** Of servers of its own: a history begins where nothing was done. */
async function record(): Promise<void> {
  const two = await startReplicas(HISTORY_SETTINGS);
  try {
    const outputs = await requireLinearizable(two, "many");
    console.log(JSON.stringify({ history: [...outputs], kills: two.replicas.length }));
  } finally {
    await two.close();
  }
}

const runs = [
  ...Array.from({ length: Number(values.histories) }, () => record),
  ...Array.from({ length: Number(values.campaigns) }, () => play),
];
for (const run of runs) {
  try {
    await run();
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  }
}
// A pipe of a process that was killed may be open for as long as its last child is.
process.exit();
