/**
 * The bytes of the sequencer's state and of the high-water mark, as adapters keep them.
 *
 * Neither is signed: state is checked against the tiles and its own signed checkpoint at every start.
 */
import { encodeBase64, encodeUtf8, isEqualBytes, parseUtf8 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { formatCanonicalJson, type JsonObject, parseJsonObject } from "../json.ts";
import { parseHash } from "./checkpoint.ts";
import { EMPTY_ROOT } from "./merkle.ts";
import type { HighWater, HighWaterMark, LogState } from "./ports.ts";

/** A checkpoint with many cosignatures fits. */
const MAX_STATE_CHARS = 262_144;

/** Canonical bytes of a state. */
export function encodeLogState({ size, root, checkpoint }: LogState): Uint8Array {
  return encodeUtf8(formatCanonicalJson({ v: 1, size, root: encodeBase64(root), checkpoint }));
}

/** @throws TrustWardenError `ledger_corrupt`. */
export function parseLogState(bytes: Uint8Array): LogState {
  try {
    const { v, size, root, checkpoint } = parseObject(bytes);
    if (v !== 1 || typeof root !== "string" || typeof checkpoint !== "string") throw unreadable("members");
    return { size: parseCount(size), root: parseHash(root), checkpoint };
  } catch (cause) {
    throw new TrustWardenError("ledger_corrupt", { reason: "state unreadable" }, { cause });
  }
}

/** Canonical bytes of a mark. */
export function encodeHighWaterMark({ origin, size, root, epoch }: HighWaterMark): Uint8Array {
  return encodeUtf8(formatCanonicalJson({ v: 1, origin, size, root: encodeBase64(root), epoch }));
}

/** @throws TrustWardenError `data_rolled_back`: a mark that cannot be read cannot rule a rollback out. */
export function parseHighWaterMark(bytes: Uint8Array): HighWaterMark {
  try {
    const { v, origin, size, root, epoch } = parseObject(bytes);
    if (v !== 1 || typeof origin !== "string" || typeof root !== "string") throw unreadable("members");
    return { origin, size: parseCount(size), root: parseHash(root), epoch: parseCount(epoch) };
  } catch (cause) {
    throw new TrustWardenError("data_rolled_back", { reason: "high-water mark unreadable" }, { cause });
  }
}

/**
 * The higher of a mark and what it is raised by, part by part.
 *
 * @throws TrustWardenError `data_rolled_back` when the mark is of another log, or names another root for the size.
 */
export function raiseMark(
  mark: HighWaterMark | null,
  { origin, after, tree, epoch }: Parameters<HighWater["raise"]>[0],
): HighWaterMark {
  const named = origin ?? mark?.origin;
  if (named === undefined)
    throw new TrustWardenError("data_rolled_back", { reason: "high-water mark is missing" });
  const isNext = mark !== null && mark.origin !== named && mark.origin === after;
  const old =
    mark === null || isNext ? { origin: named, size: 0, root: EMPTY_ROOT, epoch: mark?.epoch ?? 0 } : mark;
  if (old.origin !== named) throw new TrustWardenError("data_rolled_back", { reason: "mark of another log" });
  if (tree?.size === old.size && !isEqualBytes(tree.root, old.root)) {
    throw new TrustWardenError("data_rolled_back", { reason: "other root", size: old.size });
  }
  const { size, root } = tree !== undefined && tree.size > old.size ? tree : old;
  return { origin: named, size, root, epoch: Math.max(old.epoch, epoch ?? 0) };
}

function parseObject(bytes: Uint8Array): JsonObject {
  const text = parseUtf8(bytes);
  const json = parseJsonObject(text, MAX_STATE_CHARS);
  if (formatCanonicalJson(json) !== text) throw unreadable("not canonical");
  return json;
}

function parseCount(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw unreadable("number");
  return value;
}

function unreadable(reason: string): TrustWardenError {
  return new TrustWardenError("ledger_corrupt", { reason });
}
