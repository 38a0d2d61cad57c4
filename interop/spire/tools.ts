/**
 * Builds SPIRE's real server and agent, once for each version of SPIRE, of Go and of this recipe, into `.cache/spire`.
 *
 * The source is the Go module that `go/go.sum` pins by digest, and everything below it is pinned by SPIRE's own `go.sum`
 * inside that module. One plug-in is left out of the server, the upstream authority `ejbca`: the module that it needs
 * is not to be had from the module proxy. Nothing else is changed.
 */
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { requireOutput, runCommand } from "../command.ts";
import { JudgeUnavailable } from "../judge.ts";

export const SPIRE_VERSION = "1.15.3";
/** Part of the key: a changed recipe builds again. */
const RECIPE = 1;
/** Cold, on two busy cores, with a thousand packages to fetch and compile. */
const BUILD_TIMEOUT_MS = 2_400_000;
const DOWNLOAD_TIMEOUT_MS = 600_000;
/** What of the module the two programs are built from; `test` holds fakes that they link. */
const SOURCES = ["go.mod", "go.sum", "cmd", "pkg", "proto", "test"];
const PLUGINS = join("pkg", "server", "catalog", "upstreamauthority.go");
const LEFT_OUT = /^.*\bejbca\b.*\n/gm;

export interface SpireTools {
  readonly server: string;
  readonly agent: string;
}

const built = new Map<string, Promise<SpireTools>>();

/** Paths of the two programs. @throws JudgeUnavailable */
export function requireSpire(root: string): Promise<SpireTools> {
  const known = built.get(root) ?? build(root);
  built.set(root, known);
  return known;
}

async function build(root: string): Promise<SpireTools> {
  const go = await goVersion();
  const key = createHash("sha256").update(`${SPIRE_VERSION} ${RECIPE} ${go}`).digest("hex").slice(0, 16);
  const folder = join(root, ".cache", "spire", `${SPIRE_VERSION}-${key}`);
  const tools = { server: join(folder, "spire-server"), agent: join(folder, "spire-agent") };
  if (existsSync(tools.server) && existsSync(tools.agent)) return tools;
  const workspace = `${folder}.${process.pid}`;
  try {
    await compile(await fetchSource(root), workspace);
    rmSync(folder, { recursive: true, force: true });
    renameSync(join(workspace, "bin"), folder);
  } finally {
    rmSync(workspace, { recursive: true, force: true });
  }
  return tools;
}

async function goVersion(): Promise<string> {
  try {
    return (await requireOutput("go", ["env", "GOVERSION", "GOARCH"], { timeoutMs: 10_000 })).trim();
  } catch (cause) {
    throw new JudgeUnavailable("go is missing: install Go 1.26 or newer", { cause });
  }
}

const download = z.object({ Dir: z.string() });

/** Folder of the module, after its digest was compared with ours. */
async function fetchSource(root: string): Promise<string> {
  const module = `github.com/spiffe/spire@v${SPIRE_VERSION}`;
  const { code, stdout, stderr } = await runCommand("go", ["mod", "download", "-json", module], {
    cwd: join(root, "interop", "spire", "go"),
    timeoutMs: DOWNLOAD_TIMEOUT_MS,
  });
  if (code !== 0) throw new JudgeUnavailable(`${module}: ${stderr || stdout}`.trim());
  return download.parse(JSON.parse(stdout)).Dir;
}

async function compile(source: string, workspace: string): Promise<void> {
  const copy = join(workspace, "source");
  mkdirSync(join(workspace, "bin"), { recursive: true });
  for (const name of SOURCES) cpSync(join(source, name), join(copy, name), { recursive: true });
  const catalog = join(copy, PLUGINS);
  const text = readFileSync(catalog, "utf8");
  const found = text.match(LEFT_OUT)?.length ?? 0;
  if (found !== 2) throw new Error(`${PLUGINS} names the plug-in that is left out ${found} times, not twice`);
  rmSync(catalog);
  writeFileSync(catalog, text.replace(LEFT_OUT, ""));
  const flags = ["-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags=-s -w"];
  const { code, stderr } = await runCommand(
    "nice",
    [
      "-n",
      "15",
      "go",
      "build",
      ...flags,
      "-o",
      `${join(workspace, "bin")}/`,
      "./cmd/spire-agent",
      "./cmd/spire-server",
    ],
    { cwd: copy, env: { CGO_ENABLED: "1", GOFLAGS: "", GOWORK: "off" }, timeoutMs: BUILD_TIMEOUT_MS },
  );
  if (code !== 0)
    throw new JudgeUnavailable(`SPIRE ${SPIRE_VERSION} did not build: ${stderr.slice(-2000)}`.trim());
}
