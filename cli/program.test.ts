import { rmSync } from "node:fs";
import type { Command } from "commander";
import { afterAll, describe, expect, test } from "vitest";
import { createProgram } from "./program.ts";
import { createHome, runWarden, SILENT } from "./testing.ts";

const home = createHome();
afterAll(() => rmSync(home, { recursive: true, force: true }));

function pathsOf(command: Command, path: readonly string[] = []): readonly (readonly string[])[] {
  return [path, ...command.commands.flatMap((child) => pathsOf(child, [...path, child.name()]))];
}

const commandPaths = pathsOf(await createProgram(SILENT));

describe("warden help", () => {
  test("knows every command of the contract", () => {
    const names = commandPaths.map((path) => path.join(" "));
    for (const name of [
      "up",
      "owner create",
      "owner list",
      "person link",
      "verifier ticket",
      "revoke",
      "who",
      "why",
      "stop",
      "doctor",
    ])
      expect(names).toContain(name);
    for (const name of ["ticket", "list", "tree", "show", "narrow"]) expect(names).toContain(`agent ${name}`);
    for (const name of ["create", "list", "show", "remove"]) expect(names).toContain(`entry ${name}`);
    for (const name of ["query", "show", "verify", "prove", "export"])
      expect(names).toContain(`ledger ${name}`);
    for (const name of ["create", "list", "show", "refresh", "remove"])
      expect(names).toContain(`federation ${name}`);
    expect(names).toContain("foreign create");
    for (const name of ["show", "list", "set"]) expect(names).toContain(`bundle ${name}`);
    for (const name of ["test", "explain"]) expect(names).toContain(`policy ${name}`);
  });

  test.each(commandPaths)("of `warden %s %s` teaches with examples and exits 0", async (...path) => {
    const args = path.filter((part): part is string => typeof part === "string");
    const { exitCode, stdout } = await runWarden(home, [...args, "--help"]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain("Examples:");
    expect(stdout).toMatch(/\n {2}.*warden /);
  });
});

describe("a command that cannot do its work", () => {
  test("exits 1 and says what happened, why, and what to do next", async () => {
    const { exitCode, stdout, stderr } = await runWarden(home, ["owner", "list"]);
    expect(exitCode).toBe(1);
    expect(stdout).toBe("");
    const [what, why, next] = stderr.split("\n");
    expect(what).toBe("warden: The owners could not be listed.");
    expect(why).toMatch(/^ {2}why: {2}no server is running on .*admin\.sock \(server_unreachable\)$/);
    expect(next).toMatch(/^ {2}next: Start the server with `warden up`/);
  });

  test("says the same three parts in JSON with --json, before or after the command", async () => {
    for (const args of [
      ["--json", "owner", "list"],
      ["owner", "list", "--json"],
    ]) {
      const { exitCode, stdout, stderr } = await runWarden(home, args);
      expect(exitCode).toBe(1);
      expect(stderr).toBe("");
      expect(JSON.parse(stdout)).toEqual({
        error: {
          code: "server_unreachable",
          what: expect.any(String),
          why: expect.any(String),
          next: expect.any(String),
        },
      });
    }
  });
});

describe("a command that is written wrongly", () => {
  test.each([
    ["an unknown command", ["nonsense"]],
    ["an unknown option", ["owner", "list", "--nonsense"]],
    ["a missing argument", ["owner", "create"]],
    ["a missing option", ["agent", "ticket", "--owner", "alice"]],
    ["a number out of bounds", ["ledger", "query", "--limit", "0"]],
    ["an id that is none", ["revoke", "payment-agent"]],
    ["an option of every command without its value", ["owner", "list", "--as"]],
  ])("exits 2 for %s and shows the way to the help", async (_case, args) => {
    const { exitCode, stderr } = await runWarden(home, args);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^warden: .+\n {2}why: {2}.+ \(usage\)\n {2}next: .*(--help|warden stop)/);
  });

  test.each([
    ["an unknown command", ["nonsense"], "warden"],
    ["a group without its command", ["owner"], "warden owner"],
    ["no command at all", [], "warden"],
    ["an unknown option", ["owner", "list", "--nonsense"], "warden owner list"],
    ["a missing option", ["agent", "ticket", "--owner", "alice"], "warden agent ticket"],
    ["one argument too many", ["owner", "create", "alice", "bob"], "warden owner create"],
    ["an option without its value", ["ledger", "query", "--limit"], "warden ledger query"],
  ])("says so in one JSON document for %s, naming the help to read", async (_case, args, place) => {
    const { exitCode, stdout, stderr } = await runWarden(home, [...args, "--json"]);
    expect(exitCode).toBe(2);
    expect(stderr).toBe("");
    expect(JSON.parse(stdout)).toEqual({
      error: {
        code: "usage",
        what: "The command is written wrongly; nothing was done.",
        why: expect.not.stringMatching(/^error|\n|^$/),
        next: expect.stringContaining(`\`${place} --help\``),
      },
    });
  });

  test("shows the help of a group that was called without its command", async () => {
    const { exitCode, stdout, stderr } = await runWarden(home, ["owner"]);
    expect(exitCode).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/^Usage: warden owner .*\n[\s\S]*\nwarden: The command is written wrongly/);
  });
});

describe("warden policy test", () => {
  test("says how to get opa where there is none", async () => {
    const { exitCode, stderr } = await runWarden(home, ["policy", "test"], { PATH: "" });
    expect(exitCode).toBe(1);
    expect(stderr).toContain("(policy_unavailable)");
    expect(stderr).toContain("go install github.com/open-policy-agent/opa@");
  });
});
