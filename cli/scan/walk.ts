/** The files that a scan looks at: of places that are known, and of directories that were named. Links are not walked. */
import { globSync, lstatSync, opendirSync } from "node:fs";
import { join } from "node:path";

/** A tree of more files is no agent's. */
const MAX_FILES = 50_000;
const MAX_DEPTH = 32;
/** Of others' making or of this tool's: nobody keeps a configuration there. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  ".git",
  ".hg",
  ".svn",
  "node_modules",
  ".venv",
  "venv",
  "__pycache__",
  ".cache",
  "target",
]);

/** Files, and whether there were more than are taken. */
export interface Walked {
  readonly files: readonly string[];
  readonly isCut: boolean;
}

/** The files of places below a root, which may have `*` for one segment or a part of one. */
export function findPlaces(root: string, places: readonly string[]): readonly string[] {
  return places.flatMap((place) => {
    if (!place.includes("*")) return [join(root, place)];
    return globSync(place, { cwd: root })
      .toSorted()
      .slice(0, MAX_FILES)
      .map((found) => join(root, found));
  });
}

/** Every file below a directory, but those of version control, packages and caches. */
export function walkDirectory(root: string): Walked {
  const files: string[] = [];
  const folders = [{ path: root, depth: 0 }];
  let isCut = false;
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const { name, isFolder } of entriesOf(folder.path)) {
      const path = join(folder.path, name);
      if (isFolder && !LEFT_OUT.has(name)) {
        if (folder.depth < MAX_DEPTH) folders.push({ path, depth: folder.depth + 1 });
        else isCut = true;
      }
      files.push(...(isFolder ? kept(path, name) : [path]));
    }
    if (files.length + folders.length > MAX_FILES) return { files: files.slice(0, MAX_FILES), isCut: true };
  }
  return { files: files.toSorted(), isCut };
}

/** Of a folder that is left out, what is looked at all the same: git writes remotes with the tokens that they are asked with. */
function kept(path: string, name: string): readonly string[] {
  const config = join(path, "config");
  const isThere = name === ".git" && lstatSync(config, { throwIfNoEntry: false })?.isFile() === true;
  return isThere ? [config] : [];
}

function entriesOf(path: string): readonly { readonly name: string; readonly isFolder: boolean }[] {
  const entries: { readonly name: string; readonly isFolder: boolean }[] = [];
  const directory = openDirectory(path);
  if (directory === undefined) return entries;
  try {
    for (
      let entry = directory.readSync();
      entry !== null && entries.length <= MAX_FILES;
      entry = directory.readSync()
    ) {
      if (entry.isDirectory()) entries.push({ name: entry.name, isFolder: true });
      else if (entry.isFile()) entries.push({ name: entry.name, isFolder: false });
    }
  } finally {
    directory.closeSync();
  }
  return entries;
}

function openDirectory(path: string): ReturnType<typeof opendirSync> | undefined {
  try {
    return opendirSync(path);
  } catch {
    // Safe: what the user may not read, the user's agent may not read either.
    return undefined;
  }
}
