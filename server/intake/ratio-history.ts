/**
 * What agents per owner were over the last week, for people who look at the console: as many points as a graph shows, kept in a file
 * beside the state. It is a picture and decides nothing; whoever needs years has the metric.
 */
import { readFileSync } from "node:fs";
import type { RatioPoint } from "@trustwarden/core/api/tree.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { writePrivateFile } from "../signer/private-file.ts";

/** Ten minutes: a week is a thousand points. */
const STEP_SECONDS = 600;
const MAX_POINTS = 1008;
const LINE = /^(\d{1,12}) (\d{1,12}) (\d{1,12})$/;

/** Owns the file: after a step it has every point. */
export class RatioHistory {
  readonly #path: string;
  #points: readonly RatioPoint[];

  /** @param path - need not exist; lines that nobody here wrote are left out. */
  constructor(path: string) {
    this.#path = path;
    this.#points = readPoints(path);
  }

  /** Oldest first. */
  get points(): readonly RatioPoint[] {
    return this.#points;
  }

  /** Keeps a point of each step; what comes before the last one's end, or with a clock that was set back, is none. */
  note(point: RatioPoint): void {
    const last = this.#points.at(-1);
    if (last !== undefined && point.at < last.at + STEP_SECONDS) return;
    this.#points = [...this.#points, point].slice(-MAX_POINTS);
    const lines = this.#points.map(({ at, owners, agents }) => `${at} ${owners} ${agents}\n`);
    writePrivateFile(this.#path, encodeUtf8(lines.join("")));
  }
}

function readPoints(path: string): readonly RatioPoint[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    // Safe: without the file the picture begins now.
    return [];
  }
  const points = text.split("\n").flatMap((line) => {
    const [, at, owners, agents] = LINE.exec(line) ?? [];
    return at === undefined ? [] : [{ at: Number(at), owners: Number(owners), agents: Number(agents) }];
  });
  return points.slice(-MAX_POINTS);
}
