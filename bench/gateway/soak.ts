/**
 * `./dev soak`: the gateway under steady load with streams that are broken off, and what it holds on to.
 *
 *   node bench/gateway/soak.ts [--minutes 10] [--rate 500]
 *
 * Fails when a call fails that was not broken off, when the gateway still has connections to the model afterwards, when its
 * descriptors have grown, or when its memory has: the median of the last quarter against that of the second. What a
 * server remembers of intents by design (about two and a half minutes of them) is there by the second quarter of ten
 * minutes; a short run has a wider bound for it.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { openGatewayLab } from "./lab.ts";
import { runLoad } from "./load.ts";

const SLICE_SECONDS = 5;
/** Every third stream is left after its first part. */
const BROKEN_OFF = 3;
const STREAM = {
  model: "gpt-test",
  stream: true,
  messages: [{ role: "user", content: "hello #words=40 #delay=1" }],
};
const JSON_CALL = { model: "gpt-test", messages: [{ role: "user", content: "hello #words=40" }] };
/** Of the second quarter; a process that leaks grows by more in the rest of the run. */
const MAX_GROWTH = 1.1;
const SLACK_MIB = 16;
/** Within one of these minutes the memory of intents is still filling. */
const FILLING_MINUTES = 5;
const FILLING_MIB = 160;
const SLACK_DESCRIPTORS = 8;
const SETTLE_MS = 60_000;

const { values } = parseArgs({ options: { minutes: { type: "string" }, rate: { type: "string" } } });
const minutes = Number(values.minutes ?? "10");
const rate = Number(values.rate ?? "500");
const lab = await openGatewayLab(mkdtempSync(join(tmpdir(), "soak-")));
const resident: number[] = [];
const problems: string[] = [];
let [whole, brokenOff] = [0, 0];
try {
  const slices = Math.max(4, Math.round((minutes * 60) / SLICE_SECONDS));
  await slice(0);
  const descriptors = lab.gateway.descriptors();
  for (let index = 1; index <= slices; index += 1) {
    await slice(index);
    resident.push(lab.gateway.residentMib());
    process.stderr.write(
      `soak: ${index}/${slices}, ${whole} answers, ${brokenOff} broken off, ${resident.at(-1)} MiB\n`,
    );
  }
  judge(await settle(descriptors));
} finally {
  await lab.close();
}
for (const problem of problems) process.stderr.write(`soak: ${problem}\n`);
process.stdout.write(
  `${JSON.stringify({ minutes, rate, whole, broken_off: brokenOff, resident_mib: resident, problems })}\n`,
);
process.exit(problems.length === 0 ? 0 : 1);

/** Some seconds of load, half of it streams; a call that fails without having been broken off is a problem. */
async function slice(index: number): Promise<void> {
  const count = rate * SLICE_SECONDS;
  const streams = await lab.sign(Math.ceil(count / 2), STREAM);
  const calls = await lab.sign(Math.floor(count / 2), JSON_CALL);
  const { url } = lab.gateway;
  const { tls } = lab.agent;
  const [streamed, called] = await Promise.all([
    runLoad({ url, tls, rate: rate / 2, requests: streams, breaksOff: (at) => at % BROKEN_OFF === 0 }),
    runLoad({ url, tls, rate: rate / 2, requests: calls }),
  ]);
  const left = Math.ceil(streams.length / BROKEN_OFF);
  whole += streamed.wholeMs.length - left + called.wholeMs.length;
  brokenOff += left;
  const failed = streamed.failed + called.failed;
  const reasons = JSON.stringify({ ...streamed.reasons, ...called.reasons });
  if (failed > 0) problems.push(`slice ${index}: ${failed} calls failed: ${reasons}`);
}

/**
 * How many descriptors stay open that were not at the start: what was broken off last may still be ending, and an idle
 * connection is kept for a while. Looks until there are few, for a minute at most.
 */
async function settle(before: number): Promise<number> {
  const deadlineMs = performance.now() + SETTLE_MS;
  let grown = lab.gateway.descriptors() - before;
  while (grown > SLACK_DESCRIPTORS && performance.now() < deadlineMs) {
    await sleep(500);
    grown = lab.gateway.descriptors() - before;
  }
  return grown;
}

function judge(grown: number): void {
  if (grown > SLACK_DESCRIPTORS) problems.push(`${grown} descriptors more than at the start`);
  const quarter = Math.floor(resident.length / 4);
  const early = median(resident.slice(quarter, 2 * quarter));
  const late = median(resident.slice(-quarter));
  const slack = minutes < FILLING_MINUTES ? FILLING_MIB : SLACK_MIB;
  if (late > early * MAX_GROWTH + slack) problems.push(`resident memory grew from ${early} to ${late} MiB`);
  if (whole === 0 || brokenOff === 0) problems.push("nothing was called");
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}
