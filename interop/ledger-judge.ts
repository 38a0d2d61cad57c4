/**
 * Tessera's `fsck`, the Go project's `x/mod/sumdb` and torchwood on whole ledgers of ours: one that fills three levels of tiles,
 * and the one that the quickstart leaves behind; sound, forked, and with one bit flipped anywhere.
 */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { flipBits } from "./bit-flips.ts";
import { runCommand } from "./command.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "./judge.ts";
import { createLedger, createTurnedLedger, type ExportedLedger, LEDGER_SIZE } from "./ledger-log.ts";
import { playQuickstart } from "./quickstart-ledger.ts";
import { judgeOurProofs } from "./stranger-proofs.ts";
import { type GoTools, requireGoTools, requireTlogTools, type TlogTools } from "./tools.ts";

/** Of a whole ledger read by a program that shares two cores with a lane of other tasks. */
const TIMEOUT_MS = 60_000;
/** A mismatch stops one worker a level of tiles, and `fsck` 1.0.4 hangs when it has no others. */
const FSCK_WORKERS = 16;
/** Checklist 7: the tiles of 70,000 entries, as the tlog-tiles specification counts them. */
const LARGE_LAYOUT = {
  full: ["0: 273", "1: 1", "entries: 273"],
  partial: ["0/273.p/112", "1/001.p/17", "2/000.p/1", "entries/273.p/112"],
} as const;
/** The key of the example in C2SP signed-note. */
const SOMEONES_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

export const largeLedgerJudge: Judge = {
  name: `fsck 1.0.4, x/mod 0.42.0 and torchwood 0.9.0 on ${LEDGER_SIZE} entries`,
  run: async (lab) => {
    const tools = await requireTools(lab);
    const ledger = await createLedger(join(lab.scratch, "ledger"), lab.random);
    const findings = await judgeLedger({ lab, tools, ledger });
    const layout = countVerdicts([judgeLayout(ledger.directory)]);
    return {
      ...findings,
      accepted: findings.accepted + layout.accepted,
      wrong: [...findings.wrong, ...layout.wrong],
    };
  },
};

export const quickstartLedgerJudge: Judge = {
  name: "fsck 1.0.4, x/mod 0.42.0 and torchwood 0.9.0 on the quickstart's ledger",
  run: async (lab) => {
    const tools = await requireTools(lab);
    return judgeLedger({ lab, tools, ledger: await playQuickstart(lab) });
  },
};

export const turnedLedgerJudge: Judge = {
  name: "fsck 1.0.4, x/mod 0.42.0 and torchwood 0.9.0 on each shard of a ledger that turned",
  run: async (lab) => {
    const tools = await requireTools(lab);
    const shards = await createTurnedLedger(join(lab.scratch, "turned"), lab.random);
    const found: Findings[] = [];
    for (const ledger of shards) found.push(await judgeLedger({ lab, tools, ledger }));
    const sumOf = (count: (one: Findings) => number) => found.reduce((sum, one) => sum + count(one), 0);
    return {
      accepted: sumOf(({ accepted }) => accepted),
      refused: sumOf(({ refused }) => refused),
      wrong: found.flatMap(({ wrong }) => wrong),
      note: `${shards.length} shards`,
    };
  },
};

type Tools = GoTools & TlogTools;

async function requireTools(lab: Lab): Promise<Tools> {
  return { ...(await requireGoTools(lab)), ...(await requireTlogTools(lab)) };
}

/** One judge's question about a directory. */
interface Asker {
  readonly name: string;
  readonly ask: () => Promise<{ readonly isAccepted: boolean; readonly said: string }>;
}

async function judgeLedger({
  lab,
  tools,
  ledger,
}: {
  readonly lab: Lab;
  readonly tools: Tools;
  readonly ledger: ExportedLedger;
}): Promise<Findings> {
  const { directory, vkey, size, oldCheckpoints, acknowledgements, forkedCheckpoints } = ledger;
  const vkeyFile = join(lab.scratch, "ledger.vkey");
  writeFileSync(vkeyFile, vkey);
  const named = (option: string, files: readonly string[]) => files.flatMap((file) => [option, file]);
  const earlier = [...named("-old", oldCheckpoints), ...named("-note", acknowledgements)];
  const askGo = (key: string, args: readonly string[]) =>
    askLogjudge(tools, size, ["-dir", directory, "-vkey", key, ...args]);
  const sound: readonly Asker[] = [
    { name: "fsck", ask: () => askFsck(tools, size, [directory, vkeyFile]) },
    { name: "x/mod", ask: () => askGo(vkey, earlier) },
    { name: "torchwood", ask: () => askTorchwoodsClient(lab, tools, ledger) },
  ];
  const refused: readonly Asker[] = [
    { name: "x/mod with another log's key", ask: () => askGo(SOMEONES_VKEY, []) },
    ...forkedCheckpoints.map((file) => ({
      name: "x/mod with a forked checkpoint",
      ask: () => askGo(vkey, ["-old", file]),
    })),
  ];
  const whole = [
    ...(await hearAll(sound, "accept", "whole")),
    ...(await hearAll(refused, "refuse", "whole")),
  ];
  const flips = await flipBits(ledger, {
    hear: (about) => hearAll(sound, "refuse", about),
    random: lab.random,
  });
  // Once more, so that it was the flips that were refused.
  const after = await hearAll(sound, "accept", "put right again");
  const found = countVerdicts([...whole, ...flips.verdicts, ...after], `${flips.count} single bits flipped`);
  const proofs = await judgeOurProofs(lab, ledger);
  return {
    ...found,
    accepted: found.accepted + proofs.accepted,
    refused: found.refused + proofs.refused,
    wrong: [...found.wrong, ...proofs.wrong],
  };
}

async function hearAll(
  askers: readonly Asker[],
  expected: Verdict["expected"],
  about: string,
): Promise<readonly Verdict[]> {
  return Promise.all(
    askers.map(async ({ name, ask }) => ({ name: `${name}, ${about}`, expected, ...(await ask()) })),
  );
}

/** `fsck` ends with 0 whatever it found: only its success line counts. */
async function askFsck({ fsck }: GoTools, size: number, [directory, vkeyFile]: readonly [string, string]) {
  const where = ["-storage_url", `file://${directory}/`, "-public_key", vkeyFile];
  const how = ["-ui=false", "-N", String(FSCK_WORKERS)];
  const { code, stderr, hasTimedOut } = await runCommand(fsck, [...where, ...how], { timeoutMs: TIMEOUT_MS });
  const isAccepted = code === 0 && stderr.includes(`Successfully fsck'd log with size ${size} `);
  return { isAccepted, said: hasTimedOut ? "no end" : lastLine(stderr) };
}

async function askLogjudge({ logjudge }: GoTools, size: number, args: readonly string[]) {
  const { code, stdout, stderr } = await runCommand(logjudge, args, { timeoutMs: TIMEOUT_MS });
  const isAccepted = code === 0 && stdout.startsWith(`accepted: size ${size}, ${size} entries`);
  return { isAccepted, said: lastLine(stdout + stderr) };
}

/** The client holds each entry against the tree that the checkpoint names. */
async function askTorchwoodsClient(
  { scratch }: Lab,
  { proofjudge }: TlogTools,
  { directory, vkey, size }: ExportedLedger,
) {
  const policy = join(scratch, "log.policy");
  writeFileSync(policy, `log ${vkey}\nquorum none\n`);
  const args = ["-policy", policy, "-dir", directory];
  const { code, stdout, stderr } = await runCommand(proofjudge, args, { timeoutMs: TIMEOUT_MS });
  const isAccepted = code === 0 && stdout.startsWith(`accepted: size ${size}, ${size} entries`);
  return { isAccepted, said: lastLine(stdout + stderr) };
}

function judgeLayout(directory: string): Verdict {
  const root = join(directory, "tile");
  const names = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
  const full = names.filter((name) => !name.includes(".p/"));
  const counts = [...new Set(full.map((name) => name.split("/")[0]))]
    .sort()
    .map((level) => `${level}: ${full.filter((name) => name.startsWith(`${level}/`)).length}`);
  const isAccepted =
    counts.join() === LARGE_LAYOUT.full.join() && LARGE_LAYOUT.partial.every((name) => names.includes(name));
  return {
    name: "checklist 7, the tiles of 70,000 entries",
    expected: "accept",
    isAccepted,
    said: counts.join(", "),
  };
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1)?.slice(0, 200) ?? "";
}
