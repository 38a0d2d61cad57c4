/**
 * Builds the console into `.cache/console/dist`, unless it was built from exactly these files: content decides, never
 * time. `--watch` builds again at each change.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const CACHE = join(ROOT, ".cache/console");
const MARK = join(CACHE, "built-from");
const CONFIG = fileURLToPath(new URL("vite.config.ts", import.meta.url));
/** Everything that ends up in the bundle. */
const SOURCES = ["console/src", "console/public", "core", "sdk"];
const FILES = ["console/index.html", "console/vite.config.ts", "console/package.json", "package-lock.json"];

/** Builds when something changed. Resolves when the files are there. */
export async function buildConsole(): Promise<void> {
  const digest = digestOfSources();
  const isBuilt = existsSync(join(CACHE, "dist/index.html")) && existsSync(MARK);
  if (isBuilt && readFileSync(MARK, "utf8") === digest) return;
  await build({ configFile: CONFIG, logLevel: "warn" });
  writeFileSync(MARK, digest);
}

function digestOfSources(): string {
  const found = SOURCES.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile() && !entry.parentPath.includes("node_modules"))
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  const all = [...found, ...FILES.map((file) => join(ROOT, file))]
    .filter((path) => !path.includes(".test."))
    .map((path) => ({ name: relative(ROOT, path), bytes: readFileSync(path) }));
  const hash = createHash("sha256");
  for (const { name, bytes } of all.sort((left, right) => (left.name < right.name ? -1 : 1))) {
    hash.update(`${name}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest("hex");
}

if (import.meta.main) {
  if (process.argv.includes("--watch")) await build({ configFile: CONFIG, build: { watch: {} } });
  else await buildConsole();
}
