/**
 * Tessera's `fsck` and the Go project's `x/mod/sumdb` on a whole ledger of ours: sound, forked, and with one bit
 * flipped anywhere.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "./command.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "./judge.ts";
import { createLedger, LEDGER_SIZE } from "./ledger-log.ts";
import type { Random } from "./random.ts";
import { type GoTools, requireGoTools } from "./tools.ts";

const TIMEOUT_MS = 20_000;
/** A mismatch stops one worker a level of tiles, and `fsck` 1.0.4 hangs when it has no others. */
const FSCK_WORKERS = 16;
const FLIPS = { checkpoint: 8, tile: 16, entries: 16 } as const;
/** Checklist 7: what a log of this size consists of. */
const EXPECTED_LAYOUT: readonly string[] = ["0: 273 full", "1: 1 full", "entries: 273 full"];
const EXPECTED_PARTIALS: readonly string[] = ["0/273.p/112", "1/001.p/17", "2/000.p/1", "entries/273.p/112"];

export const ledgerJudge: Judge = {
  name: `fsck 1.0.4 and x/mod 0.42.0 on ${LEDGER_SIZE} entries`,
  run: judgeLedger,
};

/** One judge's question about a directory. */
interface Asker {
  readonly name: string;
  readonly ask: () => Promise<{ readonly isAccepted: boolean; readonly said: string }>;
}

async function judgeLedger(lab: Lab): Promise<Findings> {
  const tools = await requireGoTools(lab);
  const ledger = await createLedger(join(lab.scratch, "ledger"), lab.random);
  const vkeyFile = join(lab.scratch, "ledger.vkey");
  writeFileSync(vkeyFile, ledger.vkey);
  const { directory, vkey, oldCheckpoints, acknowledgements, forkedCheckpoint } = ledger;
  const notes = acknowledgements.flatMap((file) => ["-note", file]);
  const old = (files: readonly string[]) => files.flatMap((file) => ["-old", file]);
  const log = ["-dir", directory, "-vkey"];
  const sound: readonly Asker[] = [
    { name: "fsck", ask: () => askFsck(tools, directory, vkeyFile) },
    { name: "x/mod", ask: () => askLogjudge(tools, [...log, vkey, ...old(oldCheckpoints), ...notes]) },
  ];
  const refused: readonly Asker[] = [
    { name: "x/mod with another log's key", ask: () => askLogjudge(tools, [...log, SOMEONES_VKEY]) },
    {
      name: "x/mod with a forked checkpoint",
      ask: () => askLogjudge(tools, [...log, vkey, ...old([forkedCheckpoint])]),
    },
  ];
  return countVerdicts(
    [
      judgeLayout(directory),
      ...(await hearAll(sound, "accept", "whole")),
      ...(await hearAll(refused, "refuse", "whole")),
      ...(await flipBits(directory, { askers: sound, random: lab.random })),
      // What was flipped has been put back, so the refusals were about the flips.
      ...(await hearAll(sound, "accept", "put right again")),
    ],
    `${FLIPS.checkpoint + FLIPS.tile + FLIPS.entries} single bits flipped`,
  );
}

/** The key of the example in C2SP signed-note. */
const SOMEONES_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

async function hearAll(
  askers: readonly Asker[],
  expected: Verdict["expected"],
  about: string,
): Promise<readonly Verdict[]> {
  return Promise.all(
    askers.map(async ({ name, ask }) => ({ name: `${name}, ledger ${about}`, expected, ...(await ask()) })),
  );
}

/** `fsck` ends with 0 whatever it found: only its success line counts. */
async function askFsck({ fsck }: GoTools, directory: string, vkeyFile: string) {
  const where = ["-storage_url", `file://${directory}/`, "-public_key", vkeyFile];
  const how = ["-ui=false", "-N", String(FSCK_WORKERS)];
  const { code, stderr, hasTimedOut } = await runCommand(fsck, [...where, ...how], { timeoutMs: TIMEOUT_MS });
  const isAccepted = code === 0 && stderr.includes(`Successfully fsck'd log with size ${LEDGER_SIZE} `);
  return { isAccepted, said: hasTimedOut ? "no end" : lastLine(stderr) };
}

async function askLogjudge({ logjudge }: GoTools, args: readonly string[]) {
  const { code, stdout, stderr } = await runCommand(logjudge, args, { timeoutMs: TIMEOUT_MS });
  const isAccepted = code === 0 && stdout.startsWith(`accepted: size ${LEDGER_SIZE}, ${LEDGER_SIZE} entries`);
  return { isAccepted, said: lastLine(stdout + stderr) };
}

/** Flips one bit at a time, asks everybody, and puts it back. */
async function flipBits(
  directory: string,
  { askers, random }: { readonly askers: readonly Asker[]; readonly random: Random },
): Promise<readonly Verdict[]> {
  const current = listCurrent(directory);
  const places = [
    ...Array.from({ length: FLIPS.checkpoint }, () => "checkpoint"),
    ...Array.from({ length: FLIPS.tile }, () => random.pick(current.tiles)),
    ...Array.from({ length: FLIPS.entries }, () => random.pick(current.bundles)),
  ];
  const verdicts: Verdict[] = [];
  for (const place of places) {
    const file = join(directory, place);
    const sound = readFileSync(file);
    const broken = Buffer.from(sound);
    const at = random.below(place === "checkpoint" ? sound.length - UNREAD_CHECKPOINT_BYTES : sound.length);
    broken[at] = (broken[at] ?? 0) ^ (1 << random.below(8));
    writeFileSync(file, broken);
    verdicts.push(...(await hearAll(askers, "refuse", `with a bit of byte ${at} of ${place} flipped`)));
    writeFileSync(file, sound);
  }
  return verdicts;
}

/**
 * The note ends in a base64 digit with two spare bits, "=" and a newline. Go's decoder ignores the spare bits, as
 * RFC 4648 allows, so a flip there leaves the same signature; our own reader refuses it.
 */
const UNREAD_CHECKPOINT_BYTES = 3;

/** The files that the latest checkpoint rests on; older partial tiles beside them are nobody's business any more. */
function listCurrent(directory: string): {
  readonly tiles: readonly string[];
  readonly bundles: readonly string[];
} {
  const names = listTiles(directory).filter(
    (name) => !name.includes(".p/") || EXPECTED_PARTIALS.includes(name),
  );
  const paths = (isBundle: boolean) =>
    names.filter((name) => name.startsWith("entries/") === isBundle).map((name) => `tile/${name}`);
  return { tiles: paths(false), bundles: paths(true) };
}

function listTiles(directory: string): readonly string[] {
  const root = join(directory, "tile");
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
}

function judgeLayout(directory: string): Verdict {
  const names = listTiles(directory);
  const levels = [...new Set(names.map((name) => name.split("/")[0] ?? ""))];
  const counts = levels
    .map((level) => ({
      level,
      full: names.filter((name) => name.startsWith(`${level}/`) && !name.includes(".p/")).length,
    }))
    .filter(({ full }) => full > 0)
    .map(({ level, full }) => `${level}: ${full} full`);
  const isAccepted =
    counts.join() === EXPECTED_LAYOUT.join() && EXPECTED_PARTIALS.every((name) => names.includes(name));
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
