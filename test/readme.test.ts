/**
 * The documentation works as it is written: the shell and TypeScript blocks of README.md and sdk/README.md run against
 * a real server, and every example of `warden --help` is a command line that the program understands.
 *
 * What is changed on the way in: `./dev warden` is the CLI of this checkout, ports are free ones, `<event>` is an event
 * that the programs just made, and the functions that a reader brings along are given.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createProgram } from "../cli/program.ts";
import { runWarden, SILENT } from "../cli/testing.ts";
import { freePort } from "./support/free-port.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const MAIN = join(ROOT, "cli/main.ts");

/** Homes are elsewhere; programs must lie in the checkout to find `trustwarden`. */
const home = mkdtempSync(join(tmpdir(), "warden-readme-"));
mkdirSync(join(ROOT, ".cache"), { recursive: true });
const programs = mkdtempSync(join(ROOT, ".cache", "readme-"));
const children: ChildProcess[] = [];

function blocksOf(file: string, language: string): readonly string[] {
  const text = readFileSync(join(ROOT, file), "utf8");
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
    .filter(([, name]) => name === language)
    .map(([, , block = ""]) => block);
}

function blockWith(file: string, language: string, mark: string): string {
  const found = blocksOf(file, language).filter((block) => block.includes(mark));
  expect(found, `one ${language} block of ${file} with ${mark}`).toHaveLength(1);
  return found[0] ?? "";
}

/** Command lines of a shell block, with continued lines joined and remarks gone. */
function linesOf(block: string): readonly string[] {
  const joined = block.replace(/\\\n\s*/g, "").replace(/^\$ /gm, "");
  return joined.split("\n").map((line) => line.replace(/\s+#.*$/, "").trim());
}

const environment = (extra: Readonly<Record<string, string>> = {}) => ({
  PATH: process.env.PATH,
  HOME: home,
  ...extra,
});

/** One command line of the documentation, in a shell. */
function shell(line: string): string {
  const run = line.replace(/(\.\/dev )?\bwarden (?=[a-z])/, `"${process.execPath}" "${MAIN}" `);
  return execFileSync("sh", ["-c", run], { cwd: home, env: environment(), encoding: "utf8" });
}

function ticketOf(line: string): Readonly<Record<string, string>> {
  const [, value = ""] = /TRUSTWARDEN_TICKET=(\S+)/.exec(shell(line)) ?? [];
  expect(value).toMatch(/^tw1\./);
  return { TRUSTWARDEN_TICKET: value };
}

function lineWith(block: string, mark: string): string {
  const found = linesOf(block).find((line) => line.includes(mark));
  expect(found, mark).toBeDefined();
  return found ?? "";
}

function write(name: string, ...parts: readonly string[]): string {
  const path = join(programs, name);
  writeFileSync(path, parts.join("\n"));
  return path;
}

function runProgram(path: string, extra: Readonly<Record<string, string>>): string {
  return execFileSync(process.execPath, [path], { env: environment(extra), encoding: "utf8" });
}

/** Starts a process and gives its first line. */
function start(args: readonly string[], extra: Readonly<Record<string, string>> = {}): Promise<string> {
  const child = spawn(process.execPath, args, {
    env: environment(extra),
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", resolve);
    child.once("exit", () => reject(new Error(`${args[0]} ended`)));
  });
}

const READY = 'console.log("ready");';
const RUN_IT = blockWith("README.md", "sh", "warden owner create");
let ports: readonly number[];

/** The same program with ports of ours. */
const onPort = (block: string, port = 0) =>
  block
    .replace("listen(8443)", `listen(${port})`)
    .replace(/https:\/\/finance\.[a-z]+:8443/, `https://127.0.0.1:${port}`);

beforeAll(async () => {
  ports = [await freePort(), await freePort()];
  const up =
    linesOf(blockWith("README.md", "sh", "warden up"))[0]
      ?.split(" ")
      .slice(2) ?? [];
  await start([MAIN, ...up, "--port", "0", "--stop-port", "0", "--log-level", "error"]);
  shell(lineWith(RUN_IT, "owner create"));
});

afterAll(async () => {
  for (const child of children) child.removeAllListeners("exit");
  const gone = children.map((child) => new Promise((resolve) => child.once("exit", resolve)));
  for (const child of children) child.kill("SIGTERM");
  await Promise.all(gone);
  for (const directory of [home, programs]) rmSync(directory, { recursive: true, force: true });
});

describe("README.md", () => {
  test("its service and its agent do what it says, and its questions are answered", async () => {
    const [port] = ports;
    const service = onPort(blockWith("README.md", "ts", "verifyAgent({"), port);
    await start([write("service.ts", service, READY)], ticketOf(lineWith(RUN_IT, "verifier ticket")));
    const agent = onPort(blockWith("README.md", "ts", "AgentIdentity.create"), port);
    const printed = runProgram(
      write(
        "agent.ts",
        "const appendRow = async () => undefined;",
        agent,
        "console.log(await answer.text());",
      ),
      ticketOf(lineWith(RUN_IT, "agent ticket")),
    );
    expect(printed).toMatch(/^hello spiffe:\/\/acme\.test\/team\/finance\/payment-processor\/inst-/);

    const query = lineWith(RUN_IT, "ledger query");
    expect(shell(query)).toMatch(/ write:ledger [\s\S]* read:transactions /);
    const { events } = JSON.parse(shell(`${query} --action write:ledger --json`));
    const eventId = String(events[0]?.event_id);
    const ask = (word: string) => shell(lineWith(RUN_IT, word).replace("<event>", eventId));
    expect(ask("warden who")).toContain("payment-processor");
    expect(ask("warden why")).toContain("write:ledger");
    expect(shell(lineWith(RUN_IT, "warden stop"))).toMatch(/^Stopped .*orchestrator/);
  });
});

describe("sdk/README.md", () => {
  const file = "sdk/README.md";
  const others = `
    const writeReport = async () => 12;
    let sent = "";
    const sendToParent = (text: string) => { sent = text; };
    const grantFromParent = () => orchestrator.grant(sent);
    const requestFromChild = async () =>
      AgentIdentity.request({ name: "other", scope: ["read:transactions"] }).text;
    const sendToChild = (text: string) => { console.log(text.slice(0, 5)); };`;

  test("its service and its agents do what it says", async () => {
    const [, port] = ports;
    const service = onPort(blockWith(file, "ts", "verifyAgent({"), port);
    const ticket = /`(warden verifier ticket [^`]+)`/.exec(readFileSync(join(ROOT, file), "utf8"))?.[1] ?? "";
    await start([write("sdk-service.ts", service, READY)], ticketOf(ticket));

    const [begin = "", end = ""] = onPort(blockWith(file, "ts", "await orchestrator.close()"), port).split(
      /^(?=await agent\.revoke)/m,
    );
    const middle = ["orchestrator.spawn", "AgentIdentity.request", ".act("].map((mark) =>
      blockWith(file, "ts", mark),
    );
    const shown = "console.log(fetcher.scope.join(), orchestrator.receipts.at(-1)?.action);";
    const printed = runProgram(
      write("sdk-agent.ts", begin, others, ...middle, shown, end),
      ticketOf(
        lineWith(blockWith(file, "console", "agent ticket"), "agent ticket").replace(
          /^export \$\((.*)\)$/,
          "$1",
        ),
      ),
    );
    expect(printed).toMatch(
      /^200 \{\s+id: '42',\s+readBy: 'spiffe:\/\/acme\.test\/team\/finance\/payment-agent\/inst-/,
    );
    expect(printed).toContain("scope_not_subset delete:transactions\n");
    expect(printed).toContain("twg1.\n");
    expect(printed).toContain("read:transactions write:reports\n");
  });
});

describe("the programs of both", () => {
  test("are sound under the strict compiler", () => {
    const config = {
      extends: "../../tsconfig.json",
      compilerOptions: { noUnusedLocals: false },
      include: ["*.ts"],
    };
    write("tsconfig.json", JSON.stringify(config));
    const tsc = join(ROOT, "node_modules/.bin/tsc");
    const run = () =>
      execFileSync(process.execPath, [tsc, "--noEmit", "-p", programs], { encoding: "utf8", stdio: "pipe" });
    expect(run).not.toThrow();
  });
});

type Program = Awaited<ReturnType<typeof createProgram>>;

function helpOf(command: Program): readonly (readonly string[])[] {
  const path: string[] = [];
  for (let at: Program | null = command; at?.parent; at = at.parent) path.unshift(at.name());
  return [path, ...command.commands.flatMap(helpOf)];
}

const paths = helpOf(await createProgram(SILENT));

describe("warden --help", () => {
  test("shows only examples that the program understands", async () => {
    const examples = new Set<string>();
    for (const path of paths) {
      const { stdout } = await runWarden(home, [...path, "--help"]);
      const [, shown = ""] = stdout.split("Examples:\n");
      for (const line of linesOf(shown)) {
        for (const [, one = ""] of line
          .replaceAll("&&", "\n")
          .matchAll(/\bwarden ((?:[^\n)]|\)(?! node))+)/g))
          examples.add(one.split(/\s{2,}/)[0]?.trim() ?? "");
      }
    }
    examples.delete("up");
    expect(examples.size).toBeGreaterThan(40);
    const elsewhere = join(home, "elsewhere");
    for (const example of examples) {
      // Those that need nothing of the examples' world would do it: some for ever, some in the directory that the tests run in.
      if (/^up\b|^policy test|^witness init|^backup-key/.test(example)) continue;
      // As a shell reads it: quotes of both kinds, and what comes from a file or goes into one is no argument.
      const words = [
        ...example
          .replace(/ [<>] \S+$/, "")
          // What git gives a hook of this kind.
          .replace('"$@"', "refs/heads/main 0000 1111")
          .matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g),
      ].map(([, double, single, word]) => double ?? single ?? word ?? "");
      const args = words.map((word) => word.replace(/01J…|0192f3a0-…/, "01M80FGQWSA1AK5G58G8MV1CGP"));
      const { stderr } = await runWarden(elsewhere, args);
      // Files, tokens and servers of the examples are not here; what is asked is whether the words are understood.
      expect(stderr, `warden ${example}`).not.toContain("written wrongly");
    }
  });
});
