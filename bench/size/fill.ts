/** `node bench/size/fill.ts DIRECTORY`: only fills a data directory; `run.ts` measures it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Filling, sizeConfig } from "./founding.ts";
import { generate } from "./generate.ts";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    owners: { type: "string", default: "17000" },
    agents: { type: "string", default: "1500000" },
    nodes: { type: "string", default: "100" },
    entries: { type: "string", default: "10000" },
  },
});
const [directory = ""] = positionals;
const startedMs = performance.now();
const filling = await Filling.open(sizeConfig(directory), Number(values.agents));
const names = Array.from({ length: Number(values.nodes) }, (_, at) => `node-${at}`);
const made = await generate(filling, {
  shape: { owners: Number(values.owners), agents: Number(values.agents) },
  nodes: { names, entries: Number(values.entries) },
  onProgress: (agents) => {
    const seconds = (performance.now() - startedMs) / 1000;
    process.stderr.write(`\r${agents} agents, ${Math.round(agents / seconds)}/s   `);
  },
});
await filling.close();
writeFileSync(join(directory, "made.json"), JSON.stringify(made));
const { user, system } = process.cpuUsage();
const seconds = (performance.now() - startedMs) / 1000;
console.log(
  JSON.stringify({
    agents: made.agents,
    seconds,
    cpu_seconds: (user + system) / 1e6,
    largest: made.largest.slice(0, 3),
  }),
);
