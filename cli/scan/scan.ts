/**
 * A scan: texts in, findings out, bounded in files, bytes and time; what was left out is said.
 *
 * It changes nothing, runs nothing of what it looks at, and asks nobody over the network.
 */
import { lstatSync } from "node:fs";
import { resolve } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type Finding, findSecrets, MAX_FINDINGS, type ScannedText } from "./finding.ts";
import { readGitHistory } from "./git-history.ts";
import { readJsonStrings } from "./json-strings.ts";
import { type FormFinder, openFormFinder } from "./known-forms.ts";
import { HISTORY_PLACES, HOME_PLACES, kindOf, PROJECT_PLACES } from "./places.ts";
import { readProcessEnvironment } from "./process-environment.ts";
import { readScannedFile, type SkipReason } from "./read-file.ts";
import { findPlaces, walkDirectory } from "./walk.ts";

const PROGRESS_EVERY_MS = 2000;

/** What to look at. */
export interface ScanOptions {
  /** Files and directories; empty: the places of agents in `home` and `directory`. */
  readonly paths: readonly string[];
  readonly home: string;
  readonly directory: string;
  readonly hasHistory: boolean;
  /** Commits of each repository; 0: none. */
  readonly maxCommits: number;
  readonly pids: readonly number[];
  readonly timeoutMs: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly nowMs: () => number;
  readonly onProgress: (line: string) => void;
}

/** What came of it. */
export interface ScanResult {
  readonly findings: readonly Finding[];
  readonly looked: number;
  readonly skipped: readonly {
    readonly path: string;
    readonly why: SkipReason | "time is up" | "no repository";
  }[];
  /** False when a bound ended the scan early, or something that was named could not be read. */
  readonly isComplete: boolean;
}

interface Target {
  readonly path: string;
  readonly root: string;
  readonly isHistory: boolean;
  /** Named by the user, or known as an agent's: not to be left out silently. */
  readonly isMeant: boolean;
}

/** Looks everywhere. @throws TrustWardenError `not_found` for a path or process that is not there. */
export async function scan(options: ScanOptions): Promise<ScanResult> {
  const run = new Run(options, await openFormFinder());
  for (const pid of options.pids)
    await run.look({
      place: { kind: "process", pid },
      form: "environment",
      text: readProcessEnvironment(pid),
    });
  const { targets, isCut } = findTargets(options);
  if (isCut) run.isComplete = false;
  for (const target of targets) await run.lookAtFile(target);
  if (options.maxCommits > 0) await run.lookAtRepositories();
  return run.result();
}

/** Owns what was found so far. */
class Run {
  isComplete = true;
  readonly #options: ScanOptions;
  readonly #findForms: FormFinder;
  readonly #findings: Finding[] = [];
  readonly #skipped: { path: string; why: SkipReason | "time is up" | "no repository" }[] = [];
  readonly #startedAtMs: number;
  #toldAtMs: number;
  #looked = 0;

  constructor(options: ScanOptions, findForms: FormFinder) {
    this.#options = options;
    this.#findForms = findForms;
    this.#startedAtMs = options.nowMs();
    this.#toldAtMs = this.#startedAtMs;
  }

  async look(source: ScannedText): Promise<void> {
    if (!this.#hasRoom()) return;
    this.#looked += 1;
    if (source.form === "json" && readJsonStrings(source.text).isCut) this.isComplete = false;
    this.#findings.push(...(await findSecrets(source, this.#findForms)));
  }

  async lookAtFile({ path, root, isHistory, isMeant }: Target): Promise<void> {
    if (!this.#hasRoom()) return;
    const read = readScannedFile(path, { root, isHistory });
    if ("skipped" in read) {
      this.#skipped.push({ path, why: read.skipped });
      if (isMeant && read.skipped !== "binary") this.isComplete = false;
      return;
    }
    const { form } = kindOf(read.path);
    const place = { kind: "file", path: read.path } as const;
    await this.look({ place, form: isHistory && form === "text" ? "shell" : form, text: read.text });
  }

  async lookAtRepositories(): Promise<void> {
    const { paths, directory, maxCommits, env } = this.#options;
    for (const path of paths.length === 0 ? [directory] : paths.filter(isDirectory)) {
      if (!this.#hasRoom()) return;
      const history = await readGitHistory(path, { maxCommits, env });
      if (history === undefined) this.#skipped.push({ path, why: "no repository" });
      if (history?.isCut !== false) this.isComplete = false;
      for (const { commit, path: file, text } of history?.added ?? [])
        await this.look({ place: { kind: "git", path: file, commit }, form: kindOf(file).form, text });
    }
  }

  result(): ScanResult {
    return {
      findings: withoutRepeats(this.#findings),
      looked: this.#looked,
      skipped: this.#skipped,
      isComplete: this.isComplete && this.#findings.length < MAX_FINDINGS,
    };
  }

  /** Says how far it is, now and then; false once a bound is reached. */
  #hasRoom(): boolean {
    const nowMs = this.#options.nowMs();
    const isOver =
      nowMs - this.#startedAtMs > this.#options.timeoutMs || this.#findings.length >= MAX_FINDINGS;
    if (isOver) this.isComplete = false;
    else if (nowMs - this.#toldAtMs > PROGRESS_EVERY_MS) {
      this.#toldAtMs = nowMs;
      this.#options.onProgress(`looked at ${this.#looked} texts, found ${this.#findings.length}`);
    }
    return !isOver;
  }
}

function findTargets({ paths, home, directory, hasHistory }: ScanOptions): {
  readonly targets: readonly Target[];
  readonly isCut: boolean;
} {
  const known = (root: string, places: readonly string[], isHistory: boolean): readonly Target[] =>
    findPlaces(root, places)
      .filter(isThere)
      .map((path) => ({ path, root, isHistory, isMeant: true }));
  const histories = hasHistory ? known(home, HISTORY_PLACES, true) : [];
  if (paths.length === 0) {
    const targets = [
      ...known(home, HOME_PLACES, false),
      ...known(directory, PROJECT_PLACES, false),
      ...histories,
    ];
    return { targets: distinct(targets), isCut: false };
  }
  let isCut = false;
  const named = paths.flatMap((given): readonly Target[] => {
    const path = resolve(directory, given);
    if (!isThere(path)) throw new TrustWardenError("not_found", { why: `${given} is not there` });
    if (!isDirectory(path)) return [{ path, root: "/", isHistory: false, isMeant: true }];
    const walked = walkDirectory(path);
    isCut ||= walked.isCut;
    return walked.files.map((file) => ({ path: file, root: path, isHistory: false, isMeant: false }));
  });
  return { targets: distinct([...named, ...histories]), isCut };
}

function distinct(targets: readonly Target[]): readonly Target[] {
  return [...new Map(targets.map((target) => [target.path, target])).values()];
}

/** A commit that moves a line finds its secret anew; the latest commit of each value and file is told. */
function withoutRepeats(findings: readonly Finding[]): readonly Finding[] {
  const seen = new Set<string>();
  return findings.filter(({ place, value }) => {
    if (place.kind !== "git") return true;
    const key = `${place.path}\0${value}`;
    const isNew = !seen.has(key);
    seen.add(key);
    return isNew;
  });
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
