/**
 * `./dev soak`: the gateway under steady load with streams that are broken off, and what it holds on to.
 *
 *   node bench/gateway/soak.ts [--form ci|quarter|day] [--minutes 10] [--rate 500]
 *
 * Forms: `ci` takes 3 minutes, `quarter` 15, `day` 24 hours; `--minutes` and `--rate` change what a form says. Fails when a call
 * fails that was not broken off, when the gateway's descriptors have grown, when its memory grows by more than the form allows
 * an hour, or when its event loop is late (`soak-verdict.ts`).
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { openGatewayLab } from "./lab.ts";
import { runLoad } from "./load.ts";
import { FORMS, judgeSoak, type Sample, type SoakForm, slopeMibPerHour } from "./soak-verdict.ts";

const SLICE_SECONDS = 5;
/** Every third stream is left after its first part. */
const BROKEN_OFF = 3;
const STREAM = {
  model: "gpt-test",
  stream: true,
  messages: [{ role: "user", content: "hello #words=40 #delay=1" }],
};
const JSON_CALL = { model: "gpt-test", messages: [{ role: "user", content: "hello #words=40" }] };
const SLACK_DESCRIPTORS = 8;
const SETTLE_MS = 60_000;

const { values } = parseArgs({
  options: {
    form: { type: "string", default: "quarter" },
    minutes: { type: "string" },
    rate: { type: "string" },
  },
});
const form = formOf(values);
const { minutes, rate } = form;
const lab = await openGatewayLab(mkdtempSync(join(tmpdir(), "soak-")));
const samples: Sample[] = [];
const problems: string[] = [];
let [whole, brokenOff] = [0, 0];
try {
  const slices = Math.max(4, Math.round((minutes * 60) / SLICE_SECONDS));
  await slice(0);
  const descriptors = lab.gateway.descriptors();
  await lab.loopP99Ms();
  const beganMs = performance.now();
  for (let index = 1; index <= slices; index += 1) {
    await slice(index);
    const atSeconds = (performance.now() - beganMs) / 1000;
    const sample = { atSeconds, residentMib: lab.gateway.residentMib(), loopP99Ms: await lab.loopP99Ms() };
    samples.push(sample);
    const { residentMib, loopP99Ms } = sample;
    process.stderr.write(
      `soak: ${index}/${slices}, ${whole} answers, ${brokenOff} broken off, ${residentMib} MiB, loop ${loopP99Ms.toFixed(1)} ms\n`,
    );
  }
  problems.push(...judgeSoak({ samples, grownDescriptors: await settle(descriptors) }, form));
  if (whole === 0 || brokenOff === 0) problems.push("nothing was called");
} finally {
  await lab.close();
}
for (const problem of problems) process.stderr.write(`soak: ${problem}\n`);
const slope = slopeMibPerHour(samples.filter(({ atSeconds }) => atSeconds >= form.fillingSeconds));
const verdict = problems.length === 0 ? "holds" : "does not hold";
process.stdout.write(
  `${JSON.stringify({ form: values.form, minutes, rate, whole, broken_off: brokenOff, slope_mib_per_hour: Math.round(slope), samples, problems, verdict })}\n`,
);
process.exit(problems.length === 0 ? 0 : 1);

/** A form by its name, with what the command line changes. */
function formOf({ form: name, minutes, rate }: typeof values): SoakForm {
  const known = Object.entries(FORMS).find(([key]) => key === name)?.[1];
  if (known === undefined) throw new Error(`--form is one of ${Object.keys(FORMS).join(", ")}`);
  const asked = {
    ...known,
    ...(minutes === undefined ? {} : { minutes: Number(minutes) }),
    ...(rate === undefined ? {} : { rate: Number(rate) }),
  };
  // Of a run that was made shorter two thirds are judged.
  return { ...asked, fillingSeconds: Math.min(asked.fillingSeconds, asked.minutes * 20) };
}

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
