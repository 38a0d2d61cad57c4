/**
 * The long campaign against two servers that share a store: `node test/support/replica-run.ts [--kills 20]`.
 *
 * Prints what it saw. Exits with 1 when anything does not hold.
 */
import { parseArgs } from "node:util";
import { ReplicaCampaign } from "./replica-campaign.ts";

const { values } = parseArgs({ options: { kills: { type: "string", default: "20" } } });
const campaign = await ReplicaCampaign.begin();
try {
  const { gapsMs, ...seen } = await campaign.run(Number(values.kills));
  const sorted = gapsMs.toSorted((one, other) => one - other).map(Math.round);
  console.log(
    JSON.stringify({ ...seen, gap_ms: { median: sorted[sorted.length >> 1], max: sorted.at(-1) } }),
  );
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await campaign.end();
}
// A pipe of a process that was killed may be open for as long as its last child is.
process.exit();
