/** The walls, against a program that tries them from inside. Linux with bubblewrap only. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { formatSandboxArguments, SANDBOX_PROGRAM, type SandboxOptions } from "./sandbox.ts";

const base = realpathSync(mkdtempSync(join(tmpdir(), "walls-")));
const place = (name: string): string => {
  const path = join(base, name);
  mkdirSync(path, { recursive: true });
  return path;
};
const workingDirectory = place("work");
const keys = place("home/.config/trustwarden");
const ssh = place("home/.ssh");
writeFileSync(join(keys, "alice.pem"), "OWNERKEY");
writeFileSync(join(ssh, "id"), "SSHKEY");
symlinkSync(join(base, "home"), join(base, "link"));
const hasWalls = spawnSync(SANDBOX_PROGRAM, ["--ro-bind", "/", "/", "--unshare-all", "true"]).status === 0;
const isRoot = process.getuid?.() === 0;

test("a machine that cannot build the walls is told so, and nothing runs without them", () => {
  const module = JSON.stringify(new URL("./sandbox.ts", import.meta.url).href);
  const ask = `import(${module}).then(({ requireSandbox }) => { try { requireSandbox(); } catch ({ code }) { console.log(code); } })`;
  const asked = spawnSync(process.execPath, ["--input-type=module", "-e", ask], {
    env: { PATH: "/nowhere" },
  });
  expect(asked.stdout.toString().trim()).toBe("sandbox_unavailable");
});

const walls = (given: Partial<SandboxOptions> = {}): SandboxOptions => ({
  runDirectory: place("run"),
  workingDirectory,
  readOnly: [],
  hidden: [ssh],
  never: [keys],
  ...given,
});

function inside(line: string, given: Partial<SandboxOptions> = {}): string {
  const { stdout, stderr } = spawnSync(SANDBOX_PROGRAM, [
    ...formatSandboxArguments(walls(given), ["sh", "-c", line]),
  ]);
  return `${stdout}${stderr}`;
}

afterAll(() => rmSync(base, { recursive: true, force: true }));

describe("a path that would open the walls", () => {
  test.each(["/", "/proc", "/proc/1", "/tmp", "/run", "/sys", "/dev"])("is refused: %s", (path) => {
    const refusal = expect.objectContaining({ code: "usage" });
    expect(() => formatSandboxArguments(walls({ workingDirectory: path }), [])).toThrow(refusal);
    expect(() => formatSandboxArguments(walls({ readOnly: [path] }), [])).toThrow(refusal);
  });

  test("is refused when it lies among the keys, however it is spelled", () => {
    const refusal = expect.objectContaining({ code: "usage" });
    for (const path of [keys, `${keys}/`, join(base, "link/.config/trustwarden"), join(keys, "alice.pem")])
      expect(() => formatSandboxArguments(walls({ readOnly: [path] }), [])).toThrow(refusal);
  });
});

describe.skipIf(!hasWalls)("inside the walls", () => {
  test("keys stay hidden below every spelling of a path that is shown", () => {
    const line = `cat ${base}/home/.config/trustwarden/alice.pem ${base}/link/.config/trustwarden/alice.pem ${base}/home/.ssh/id ${base}/link/.ssh/id`;
    for (const shown of ["home", "home/", "link", "link/", "work/../home", ""])
      expect(inside(line, { readOnly: [`${base}/${shown}`] })).not.toMatch(/OWNERKEY|SSHKEY/);
    expect(inside(`cat ${base}/home/f`, { workingDirectory: `${base}/home` })).not.toContain("OWNERKEY");
    writeFileSync(join(base, "home/f"), "PLAIN");
    expect(inside(`cat ${base}/link/f`, { readOnly: [`${base}/link/`] })).toContain("PLAIN");
  });

  test("nobody has a capability to move them", () => {
    const line = `grep Cap /proc/self/status; umount ${ssh} && cat ${ssh}/id; mount -o remount,rw,bind /usr && touch /usr/walls && echo WROTE`;
    const seen = inside(line, { readOnly: [join(base, "home")] });
    expect(seen).toMatch(/CapEff:\s+0+\n/);
    expect(seen).toMatch(/CapBnd:\s+0+\n/);
    expect(seen).not.toMatch(/SSHKEY|WROTE/);
  });

  test.skipIf(!isRoot)(
    "root itself reads no private file of the system and sets nothing of the kernel",
    () => {
      expect(spawnSync("head", ["-c", "5", "/etc/shadow"]).stdout.toString()).toContain("root");
      expect(inside("cat /etc/shadow")).not.toContain("root:");
      expect(inside("cat /etc/passwd")).toContain("root:");
      expect(inside("test -w /proc/sys/kernel/core_pattern && echo WRITABLE")).not.toContain("WRITABLE");
    },
  );
});
