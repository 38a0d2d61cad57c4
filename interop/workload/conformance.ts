/**
 * `./dev conformance`: the conformance suite of `test/workload-api-conformance` on our Workload API and on SPIRE's, side by
 * side.
 *
 *   node interop/workload/conformance.ts [--write]
 *
 * `N passed, N failed` over our rows at the end, exit code 1 when one failed. `--write` makes the table in
 * `docs/workload-api-conformance.md` anew. The hostile rows get a server and an agent of their own, because what they leave
 * behind is no part of the others.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { RowVerdict } from "../../test/workload-api-conformance/row.ts";
import { runSuite } from "../../test/workload-api-conformance/suite.ts";
import { openSpire } from "../spire/lab.ts";
import { requireSpire, SPIRE_VERSION } from "../spire/tools.ts";
import { openWarden, STRANGER_UID } from "./server.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const PAGE = join(ROOT, "docs", "workload-api-conformance.md");
/** SPIRE renews at half of a certificate's life, and its agent asks every five seconds. */
const SPIRE_TTL_SECONDS = 60;
const SPIRE_WATCH_SECONDS = 42;
const OUR_WATCH_SECONDS = 10;
const ROTATE_AFTER_MS = 3_000;
const ENTRY_TIMEOUT_MS = 30_000;

const isHostile = (id: string) => id.startsWith("T-");
const isPeaceful = (id: string) => !isHostile(id);
const strangerUid = process.getuid?.() === 0 ? STRANGER_UID : null;

async function judgeOurs(): Promise<readonly RowVerdict[]> {
  const verdicts: RowVerdict[] = [];
  for (const selects of [isPeaceful, isHostile]) {
    const server = await openWarden({ workloadApi: { witSvid: true } });
    try {
      const watchSeconds = selects === isPeaceful ? OUR_WATCH_SECONDS : 0;
      const rotation = watchSeconds === 0 ? null : sleep(ROTATE_AFTER_MS).then(() => server.rotate());
      const options = { socket: server.socket, selects, strangerUid, watchSeconds };
      verdicts.push(...(await runSuite({ ...options, withdraw: () => server.withdraw() })));
      await rotation;
    } finally {
      await server.close();
    }
  }
  return verdicts;
}

async function judgeSpire(): Promise<readonly RowVerdict[]> {
  const tools = await requireSpire(ROOT);
  const verdicts: RowVerdict[] = [];
  for (const selects of [isPeaceful, isHostile]) {
    const folder = mkdtempSync(join(tmpdir(), "spire-"));
    const spire = await openSpire(tools, folder, { trustDomain: "spire.test", isRateLimited: true });
    try {
      const entry = await spire.createEntry({
        spiffeId: "spiffe://spire.test/team/pay",
        selector: `unix:uid:${process.getuid?.() ?? 0}`,
        hint: "pay",
        x509TtlSeconds: SPIRE_TTL_SECONDS,
      });
      await untilServed(spire.socket);
      const watchSeconds = selects === isPeaceful ? SPIRE_WATCH_SECONDS : 0;
      const options = { socket: spire.socket, selects, strangerUid, watchSeconds };
      verdicts.push(...(await runSuite({ ...options, withdraw: () => spire.deleteEntry(entry) })));
    } finally {
      await spire.close();
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return verdicts;
}

/** The agent learns of an entry when it asks. @throws Error when it never does. */
async function untilServed(socket: string): Promise<void> {
  const deadline = Date.now() + ENTRY_TIMEOUT_MS;
  for (;;) {
    try {
      await runSuite({ socket, selects: () => false });
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(500);
    }
  }
}

function formatPage(ours: readonly RowVerdict[], theirs: readonly RowVerdict[]): string {
  const verdictOf = (all: readonly RowVerdict[], id: string) =>
    all.find((row) => row.id === id)?.verdict ?? "not seen";
  const rows = ours.map(
    ({ id, level, text, verdict }) =>
      `| ${id} | ${level} | ${text} | ${verdict} | ${verdictOf(theirs, id)} |`,
  );
  const total = (all: readonly RowVerdict[]) => {
    const count = (wanted: string) => all.filter(({ verdict }) => verdict === wanted).length;
    return `${count("pass")} pass, ${count("fail")} fail, ${count("not seen")} not seen`;
  };
  return `# Workload API: conformance, ours and SPIRE's

Made by \`./dev conformance --write\`: the suite in \`test/workload-api-conformance\` on \`warden up\` and on SPIRE
${SPIRE_VERSION}'s agent, both on one machine, as root, with a user that has no identity beside. It runs against any socket:

\`\`\`console
$ node test/workload-api-conformance/run.ts --socket unix:///run/agent.sock --watch 40 --stranger-uid 65534
\`\`\`

Levels: M must, S should, O may, D what real clients need, B what SPIRE's agent does and clients may have come to expect,
T ours, for hostile callers and where the standard is silent. Nobody broke a standard by failing a row of B or T. The suite
is by the authors of one of the two; each row is in the open, and its own tests show what makes it fail.

Rows T-13 to T-17 can differ from run to run. In two of five runs on a machine with a load above 4, SPIRE's agent served
nobody any more after them: its unix attestor timed out for every later caller until it was started again. The table below
is of a run in which it did not.

| | result |
| --- | --- |
| TrustWarden | ${total(ours)} |
| SPIRE ${SPIRE_VERSION} | ${total(theirs)} |

| row | level | requirement | TrustWarden | SPIRE ${SPIRE_VERSION} |
| --- | --- | --- | --- | --- |
${rows.join("\n")}
`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { write: { type: "boolean" } } });
  const ours = await judgeOurs();
  const theirs = await judgeSpire();
  const show = (name: string, all: readonly RowVerdict[]) => {
    for (const { id, verdict, text, said } of all)
      if (verdict !== "pass") console.log(`${name}: ${verdict} ${id} ${text}: ${said}`);
  };
  show("ours", ours);
  show("SPIRE", theirs);
  if (values.write) writeFileSync(PAGE, formatPage(ours, theirs));
  const passed = ours.filter(({ verdict }) => verdict === "pass").length;
  const failed = ours.filter(({ verdict }) => verdict === "fail").length;
  console.log(`\n${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}

await main();
