/**
 * The house rules that no tool knows: which way imports point, who may touch the clock, the environment and the
 * cryptography library, and how large a file may be. ARCHITECTURE.md says why; this fails when it is no longer so.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PACKAGES = ["core", "server", "sdk", "adapters", "node", "cli", "console", "examples"];
const PRIMITIVES = ["agentid", "agentscope", "agentledger", "revocation"];
const ADAPTERS = ["store", "signer", "opa", "feed", "attest"];
const MAX_LINES = 400;

interface SourceFile {
  /** Path from the root, with forward slashes. */
  readonly path: string;
  readonly text: string;
  /** Code without comments. */
  readonly code: string;
  /** Modules imported, workspace ones as paths from the root. */
  readonly imports: readonly string[];
}

const files = PACKAGES.flatMap((folder) => sourcesIn(join(ROOT, folder)));
const shipped = files.filter((file) => !file.path.includes(".test."));

function sourcesIn(folder: string): readonly SourceFile[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter(
      (entry) => entry.isFile() && /\.tsx?$/.test(entry.name) && !entry.parentPath.includes("node_modules"),
    )
    .map((entry) => readSource(join(entry.parentPath, entry.name)));
}

function readSource(absolute: string): SourceFile {
  const path = relative(ROOT, absolute).replaceAll("\\", "/");
  const text = readFileSync(absolute, "utf8");
  const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");
  const imports = [...code.matchAll(/(?:\bfrom\s+|\bimport\s+|\bimport\()"([^"]+)"/g)].map(([, name]) =>
    resolveImport(path, name ?? ""),
  );
  return { path, text, code, imports };
}

function resolveImport(from: string, name: string): string {
  if (name.startsWith(".")) return normalize(join(dirname(from), name)).replaceAll("\\", "/");
  const scoped = /^@trustwarden\/(core|server|adapters|node|cli)\/(.+)$/.exec(name);
  if (scoped) return `${scoped[1]}/${scoped[2]}`;
  if (name === "trustwarden") return "sdk/index.ts";
  return name.startsWith("trustwarden/") ? name.replace("trustwarden/", "sdk/") : name;
}

const inFolder = (folder: string) => (file: SourceFile) => file.path.startsWith(`${folder}/`);
const isOurs = (name: string) => PACKAGES.some((folder) => name.startsWith(`${folder}/`));

/** `path -> import` for each import of the given files that the rule forbids. */
function violations(
  sources: readonly SourceFile[],
  forbids: (name: string, file: SourceFile) => boolean,
): string[] {
  expect(sources.length).toBeGreaterThan(0);
  return sources.flatMap((file) =>
    file.imports.filter((name) => forbids(name, file)).map((name) => `${file.path} -> ${name}`),
  );
}

/** Files whose code matches, except the named ones. */
function matching(sources: readonly SourceFile[], pattern: RegExp, except: readonly string[]): string[] {
  expect(sources.length).toBeGreaterThan(0);
  return sources
    .filter((file) => pattern.test(file.code) && !except.includes(file.path))
    .map((file) => file.path);
}

/** Line numbers, from 0, of type assertions other than `as const`; imports, comments and texts are blanked first. */
function castLines(text: string): readonly number[] {
  const blank = (match: string) => match.replaceAll(/[^\n]/g, " ");
  const code = text
    .replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*|"[^"\n]*"|`[^`]*`/g, blank)
    .replaceAll(/^(import|export) (type )?\{[^}]*\}/gm, blank)
    .replaceAll(/^import \* as \w+/gm, blank);
  return code.split("\n").flatMap((line, index) => (/\bas (?!const\b)[A-Za-z{[(]/.test(line) ? [index] : []));
}

/** What every thread of the server is started with. */
const OF_THREADS = "server/thread-environment.ts";
/** Threads of the store have a composition of their own: functions do not cross threads. */
const THREADS: readonly string[] = [
  "server/store/writer.ts",
  "server/store/postgres-state/connection-thread.ts",
];
/** Commands that run the server or work on its directories in its place, and what of it they load. */
const SERVER_COMMANDS: Readonly<Record<string, readonly string[]>> = {
  "cli/commands/up.ts": ["server/main.ts", "server/config.ts"],
  "cli/commands/ledger-migrate.ts": ["server/move-ledger.ts"],
  "cli/commands/state.ts": ["server/move-state.ts"],
  "cli/server-config.ts": ["server/config.ts"],
  // A relay gives on what the server gives: the feed is the same code.
  "cli/relay/relay.ts": ["server/feed/feed.ts"],
  "cli/relay/relay-listener.ts": ["server/feed/connection.ts", "server/http/handshake-turns.ts"],
  "cli/doctor-checks.ts": ["server/store/state-seal.ts"],
  "cli/doctor-deployment.ts": ["server/config.ts"],
  "cli/doctor-servers.ts": ["server/config.ts", "server/look-at-servers.ts"],
  // A witness is asked as the server asks it.
  "cli/doctor-witnesses.ts": ["server/config.ts", "server/witnessing/witness-client.ts"],
  "cli/commands/backup.ts": [
    "server/backup/create-backup.ts",
    "server/backup/restore-backup.ts",
    "server/backup/sealed-stream.ts",
    "server/config.ts",
  ],
};

describe("architecture", () => {
  it("reads the whole house", () => {
    for (const folder of PACKAGES) expect(files.filter(inFolder(folder)).length).toBeGreaterThan(0);
    expect(files.flatMap((file) => file.imports).length).toBeGreaterThan(files.length);
  });

  it("keeps core pure: it imports only itself, JCS and (in api) zod; only crypto.ts touches node:crypto", () => {
    const allowed = (name: string, file: SourceFile) =>
      name.startsWith("core/") ||
      (name === "zod" && file.path.startsWith("core/api/")) ||
      (name === "canonicalize" && file.path === "core/json.ts") ||
      (name === "node:crypto" && file.path === "core/crypto.ts");
    expect(violations(shipped.filter(inFolder("core")), (name, file) => !allowed(name, file))).toEqual([]);
  });

  it("keeps the clock, randomness and the environment out of core", () => {
    const core = shipped.filter(inFolder("core"));
    expect(
      matching(
        core,
        /\bDate\.now\(|new Date\(\)|Math\.random\(|performance\.now\(|\bprocess\.[a-z]|randomBytes/,
        [],
      ),
    ).toEqual([]);
  });

  it("keeps the four primitives apart", () => {
    for (const primitive of PRIMITIVES) {
      const others = PRIMITIVES.filter((name) => name !== primitive).map((name) => `core/${name}/`);
      const sources = shipped.filter(inFolder(`core/${primitive}`));
      expect(violations(sources, (name) => others.some((other) => name.startsWith(other)))).toEqual([]);
      expect(violations(sources, (name) => name.startsWith("core/api/"))).toEqual([]);
    }
  });

  it("points imports one way: console, cli, examples -> node -> sdk -> core <- server", () => {
    const allowed: Readonly<Record<string, readonly string[]>> = {
      core: ["core"],
      server: ["server", "core"],
      sdk: ["sdk", "core"],
      adapters: ["adapters", "sdk"],
      node: ["node", "sdk", "core"],
      cli: ["cli", "node", "sdk", "core"],
      console: ["console", "sdk", "core"],
      examples: ["examples", "adapters", "sdk", "core"],
    };
    for (const [folder, targets] of Object.entries(allowed)) {
      const isForbidden = (name: string, file: SourceFile) =>
        isOurs(name) &&
        !targets.some((target) => name.startsWith(`${target}/`)) &&
        !(SERVER_COMMANDS[file.path] ?? []).includes(name);
      expect(violations(shipped.filter(inFolder(folder)), isForbidden)).toEqual([]);
    }
  });

  it("lets adapters import core only, and the HTTP side no adapter's inside", () => {
    for (const adapter of ADAPTERS.filter((name) => shipped.some(inFolder(`server/${name}`)))) {
      const own = `server/${adapter}/`;
      const isForbidden = (name: string, file: SourceFile) =>
        name.startsWith("server/") &&
        !name.startsWith(own) &&
        name !== OF_THREADS &&
        !THREADS.includes(file.path);
      expect(violations(shipped.filter(inFolder(`server/${adapter}`)), isForbidden)).toEqual([]);
    }
    const isInside = (name: string) =>
      ADAPTERS.some((adapter) => name.startsWith(`server/${adapter}/`)) &&
      !/\/([a-z]+-)?ports\.ts$/.test(name);
    for (const folder of ["server/http", "server/broker"]) {
      expect(violations(shipped.filter(inFolder(folder)), isInside)).toEqual([]);
    }
  });

  it("reads the environment only in the one file of each package that is for it", () => {
    expect(
      matching(shipped, /process\.env\b/, ["server/config.ts", "cli/main.ts", "sdk/environment.ts"]).filter(
        (path) => !path.startsWith("examples/"),
      ),
    ).toEqual([]);
  });

  it("makes the server's clock and randomness in build.ts only", () => {
    const server = shipped.filter(inFolder("server"));
    expect(
      matching(server, /\bDate\.now\(|new Date\(\)|Math\.random\(|\brandomBytes\(/, [
        "server/build.ts",
        "server/clock.ts",
        // A thread has a composition of its own: functions do not cross threads.
        "server/backup/backup-thread.ts",
      ]),
    ).toEqual([]);
  });

  it("has whoever takes a place wait for a turn of the thread (docs/decisions/0084)", () => {
    const takers = shipped.filter(({ text }) => text.includes("place.take()"));
    expect(takers.length).toBeGreaterThan(3);
    expect(takers.filter(({ text }) => !text.includes("place.turn()")).map(({ path }) => path)).toEqual([]);
  });

  it("keeps every file readable in one sitting", () => {
    const long = shipped
      .map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 }))
      .filter(({ lines }) => lines > MAX_LINES);
    expect(long).toEqual([]);
  });

  it("opens every file with a comment that says what it is for", () => {
    expect(shipped.filter(({ text }) => !/^(#!.*\n)?\/\*\*/.test(text)).map(({ path }) => path)).toEqual([]);
  });

  it("casts only where a comment says why", () => {
    const bare = shipped.flatMap((file) => {
      const lines = file.text.split("\n");
      return castLines(file.text)
        .filter((line) => !/\bcast/i.test(lines.slice(Math.max(0, line - 3), line + 1).join("\n")))
        .map((line) => `${file.path}:${line + 1}`);
    });
    expect(bare).toEqual([]);
  });

  it("leaves nothing undone in the source", () => {
    expect(
      shipped
        .filter(({ text }) => /\b(TODO|FIXME|XXX|not implemented)\b/i.test(text))
        .map(({ path }) => path),
    ).toEqual([]);
  });

  it("installs nothing that runs a script", () => {
    const lock = readFileSync(join(ROOT, "package-lock.json"), "utf8");
    expect(lock).toContain('"lockfileVersion"');
    const packages: Readonly<Record<string, { readonly hasInstallScript?: boolean }>> =
      JSON.parse(lock).packages;
    const scripted = Object.entries(packages).filter(([, { hasInstallScript }]) => hasInstallScript === true);
    // Neither needs it: koffi only builds itself where no prebuilt binary fits, protobufjs only warns of old versions.
    expect(scripted.map(([path]) => path)).toEqual(["node_modules/koffi", "node_modules/protobufjs"]);
  });
});
