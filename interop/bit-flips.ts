/** Flips single bits of an exported ledger, one at a time, and puts each back. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatTilePath, tilesOf } from "@trustwarden/core/agentledger/tile.ts";
import type { Verdict } from "./judge.ts";
import type { ExportedLedger } from "./ledger-log.ts";
import type { Random } from "./random.ts";

const FLIPS = { checkpoint: 8, tile: 16, entries: 16 } as const;

/**
 * The note ends in a base64 digit with two spare bits, "=" and a newline. Go's decoder ignores the spare bits, as
 * RFC 4648 allows, so a flip there leaves the same signature; our own reader refuses it.
 */
const UNREAD_CHECKPOINT_BYTES = 3;

/** Has every flip judged. Only files that the checkpoint rests on are touched: older partial tiles prove nothing. */
export async function flipBits(
  { directory, size }: ExportedLedger,
  {
    hear,
    random,
  }: { readonly hear: (about: string) => Promise<readonly Verdict[]>; readonly random: Random },
): Promise<{ readonly count: number; readonly verdicts: readonly Verdict[] }> {
  const paths = tilesOf(size).map(formatTilePath);
  const bundles = paths.filter((path) => path.startsWith("tile/entries/"));
  const tiles = paths.filter((path) => !path.startsWith("tile/entries/"));
  const places = [
    ...Array.from({ length: FLIPS.checkpoint }, () => "checkpoint"),
    ...Array.from({ length: FLIPS.tile }, () => random.pick(tiles)),
    ...Array.from({ length: FLIPS.entries }, () => random.pick(bundles)),
  ];
  const verdicts: Verdict[] = [];
  for (const place of places) {
    const file = join(directory, place);
    const sound = readFileSync(file);
    const broken = Buffer.from(sound);
    const at = random.below(sound.length - (place === "checkpoint" ? UNREAD_CHECKPOINT_BYTES : 0));
    const bit = random.below(8);
    broken[at] = (broken[at] ?? 0) ^ (1 << bit);
    writeFileSync(file, broken);
    verdicts.push(...(await hear(`bit ${bit} of byte ${at} of ${place} flipped`)));
    writeFileSync(file, sound);
  }
  return { count: places.length, verdicts };
}
