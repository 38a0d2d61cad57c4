/** `warden run` with real processes: what an unmodified program gets, what it does not, and how it ends. Linux only. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runWarden } from "../cli/testing.ts";
import { findUnifiedMount } from "../node/launcher/control-group.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const MAIN = join(ROOT, "cli/main.ts");
const CLIENT = join(ROOT, "test/support/launched-client.ts");
const home = mkdtempSync(join(tmpdir(), "warden-run-test-"));
const isRoot = process.getuid?.() === 0;
const hasWalls = spawnSync("bwrap", ["--ro-bind", "/", "/", "--unshare-all", "true"]).status === 0;
const children: ChildProcess[] = [];

/** A `warden run` under way: its lines as they come, and its end. */
interface Running {
  readonly next: () => Promise<Readonly<Record<string, unknown>>>;
  readonly report: () => string;
  readonly ended: Promise<number | null>;
  readonly process: ChildProcess;
}

function start(
  options: readonly string[],
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Running {
  const child = spawn(process.execPath, [MAIN, "run", ...options, "--", ...command], {
    env: { PATH: process.env.PATH, HOME: home, ...env },
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  let report = "";
  child.stderr?.on("data", (chunk) => {
    report += chunk;
  });
  const lines = linesOf(createInterface({ input: child.stdout ?? process.stdin }));
  const ended = once(child, "close").then(([code]) => (typeof code === "number" ? code : null));
  return {
    next: async () => {
      const line = await lines.next();
      if (line.done === true) throw new Error(`no more lines: ${report}`);
      return JSON.parse(line.value);
    },
    report: () => report,
    ended,
    process: child,
  };
}

async function* linesOf(lines: Interface): AsyncGenerator<string, void> {
  for await (const line of lines) yield line;
}

/** Runs a shell line to its end. */
async function shell(options: readonly string[], line: string, env: Readonly<Record<string, string>> = {}) {
  const running = start(options, ["sh", "-c", line], env);
  let stdout = "";
  running.process.stdout?.on("data", (chunk) => {
    stdout += chunk;
  });
  return { exitCode: await running.ended, stdout, report: running.report() };
}

const as = (agent: string, ...scope: readonly string[]) => [
  "--owner",
  "alice",
  "--agent",
  agent,
  ...scope.flatMap((atom) => ["--scope", atom]),
];
const client = (...flags: readonly string[]) => [process.execPath, CLIENT, ...flags];

beforeAll(async () => {
  const server = spawn(
    process.execPath,
    [MAIN, "up", "--trust-domain", "acme.test", "--port", "0", "--stop-port", "0", "--no-node"],
    {
      env: { PATH: process.env.PATH, HOME: home },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  children.push(server);
  for await (const line of createInterface({ input: server.stdout }))
    if (line.includes('"ready":true')) break;
  expect((await runWarden(home, ["owner", "create", "alice"])).exitCode).toBe(0);
});

afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(
    children.map((child) =>
      child.exitCode === null && child.signalCode === null ? once(child, "close") : null,
    ),
  );
  rmSync(home, { recursive: true, force: true });
});

describe.skipIf(process.platform !== "linux")("warden run", () => {
  test("gives an unmodified program its own identity and then its class's, and ends the program when it is stopped", async () => {
    const running = start(as("crawler", "fetch:web"), client());
    const { ids, hints } = await running.next();
    const own = expect.stringMatching(/^spiffe:\/\/acme\.test\/crawler\/inst-/);
    expect([ids, hints]).toEqual([
      [own, "spiffe://acme.test/crawler"],
      ["instance", "class"],
    ]);
    expect(running.report()).toContain("second SVID spiffe://acme.test/crawler,");
    expect(await running.next()).toEqual({ jwts: ids });
    const stopped = await runWarden(home, ["stop", "crawler", "--json"]);
    expect(JSON.parse(stopped.stdout)).toMatchObject({ instances: 1 });
    // Asked to end by the launcher, or by itself when it saw the stream end: whichever came first.
    expect([143, 3]).toContain(await running.ended);
    expect(running.report()).toContain("the identity was revoked");
  });

  test("cuts the streams and lets the program live with --no-end-on-revoke", async () => {
    const running = start([...as("survivor", "fetch:web"), "--no-end-on-revoke"], client("--stay"));
    await running.next();
    await running.next();
    await runWarden(home, ["stop", "survivor"]);
    expect(await running.next()).toEqual({ code: "no_identity" });
    running.process.kill("SIGTERM");
    expect(await running.ended).toBe(143);
  });

  test("passes exit codes and signals on, and ends the instance with the program", async () => {
    expect((await shell(as("shorty", "fetch:web"), "exit 7")).exitCode).toBe(7);
    expect((await shell(as("shorty", "fetch:web"), "kill -TERM $$")).exitCode).toBe(143);
    expect((await shell(as("shorty", "fetch:web"), "exec /does/not/exist")).exitCode).toBe(127);
    const agents = JSON.parse((await runWarden(home, ["agent", "list", "--json"])).stdout);
    expect(JSON.stringify(agents)).toContain("shorty");
    const listed = await runWarden(home, ["agent", "show", "shorty", "--json"]);
    expect(listed.stdout).not.toContain('"live"');
  });

  test("leaves no instance behind when the start fails", async () => {
    const failed = await shell(as("stillborn", "fetch:web"), "true", { TMPDIR: join(home, "not-there") });
    expect(failed.exitCode).toBe(1);
    const listed = await runWarden(home, ["agent", "show", "stillborn", "--json"]);
    expect(listed.stdout).toContain("stillborn");
    expect(listed.stdout).not.toContain('"live"');
  });

  test("leaves secrets behind, and says which by name only", async () => {
    const secret = `ghp_${"A1b2".repeat(9)}`;
    const env = { GITHUB_TOKEN: secret, PLAIN: "word", DB: "postgres://app:hunter2@db/app" };
    const { stdout, report } = await shell([...as("clean", "fetch:web")], "env", env);
    expect(stdout).toMatch(/^PLAIN=word$/m);
    expect(stdout).toMatch(/^SPIFFE_ENDPOINT_SOCKET=unix:\/\/\//m);
    expect(stdout + report).not.toContain(secret);
    expect(stdout).not.toContain("hunter2");
    expect(report).toContain("GITHUB_TOKEN (name), DB (value)");
  });

  test("takes its identity from a ticket, which the program never sees", async () => {
    const made = await runWarden(home, [
      "agent",
      "ticket",
      "--owner",
      "alice",
      "--name",
      "ticketed",
      "--scope",
      "fetch:web",
      "--json",
    ]);
    const { ticket } = JSON.parse(made.stdout);
    const { stdout, exitCode } = await shell([], "env", { TRUSTWARDEN_TICKET: ticket });
    expect(exitCode).toBe(0);
    expect(stdout).not.toContain("TRUSTWARDEN");
    expect((await shell([], "true")).exitCode).toBe(1);
  });

  test("starts a child of the agent that it runs in, with less than the parent", async () => {
    const inner = (scope: string) =>
      `"${process.execPath}" "${MAIN}" run --parent --agent helper --scope ${scope} -- "${process.execPath}" "${CLIENT}" --once`;
    const scope = ["fetch:web", "read:files"];
    const allowed = await shell(as("parent", ...scope), inner("fetch:web"), { HOME: home });
    expect(allowed.stdout).toMatch(/spiffe:\/\/acme\.test\/helper\/inst-/);
    const refused = await shell(as("parent", ...scope), inner("delete:web"), { HOME: home });
    expect(refused.exitCode).toBe(1);
    expect(refused.report).toContain("scope_not_subset");
    const alone = spawnSync(
      process.execPath,
      [MAIN, "run", "--parent", "--agent", "helper", "--scope", "fetch:web", "--", "true"],
      {
        env: { PATH: process.env.PATH, HOME: home },
      },
    );
    expect(alone.stderr.toString()).toContain("parent_proof_missing");
  });

  test("starts a child of the parent that is named, and of none that it is not", async () => {
    const inner = (who: string) =>
      `"${process.execPath}" "${MAIN}" run --parent ${who} --agent helped --scope fetch:web -- "${process.execPath}" "${CLIENT}" --once`;
    const lines = [
      `own=$("${process.execPath}" "${CLIENT}" --once | sed 's/.*\\[ *"\\([^"]*\\)".*/\\1/')`,
      inner("agt_01J00000000000000000000000"),
      inner("--owner alice"),
      inner('"$own"'),
    ];
    const { stdout, report } = await shell(as("namer", "fetch:web", "read:files"), lines.join("; "), {
      HOME: home,
    });
    expect(stdout.match(/inst-/g)).toHaveLength(1);
    expect(stdout).toMatch(/spiffe:\/\/acme\.test\/helped\/inst-/);
    expect(report).toContain("parent_proof_missing");
    expect(report).toContain("--parent or --owner");
  });

  test.skipIf(!isRoot)("is not for another process of the same account, when it could be bound", async () => {
    const running = start(as("bound", "fetch:web"), [
      "sh",
      "-c",
      'echo "{\\"socket\\":\\"$SPIFFE_ENDPOINT_SOCKET\\"}"; sleep 20',
    ]);
    const { socket } = await running.next();
    const thief = spawnSync(process.execPath, [CLIENT, "--once"], {
      env: { PATH: process.env.PATH, SPIFFE_ENDPOINT_SOCKET: String(socket) },
    });
    expect(JSON.parse(thief.stdout.toString())).toEqual({ ids: [], code: "no_identity" });
    const group = /bound to control group (\S+): same_uid/.exec(running.report())?.[1];
    const mount = findUnifiedMount(readFileSync("/proc/self/mountinfo", "utf8"));
    if (group === undefined || mount === undefined) throw new Error(running.report());
    // Why no more is claimed: whoever may make the group may join it.
    const line = `echo $$ > "${mount}${group}/cgroup.procs" && exec "${process.execPath}" "${CLIENT}" --once`;
    const joined = spawnSync("sh", ["-c", line], {
      env: { PATH: process.env.PATH, SPIFFE_ENDPOINT_SOCKET: String(socket) },
    });
    expect(joined.stdout.toString()).toContain("/bound/inst-");
    running.process.kill("SIGTERM");
    await running.ended;
  });

  test.skipIf(!isRoot)("runs as another account, which is what binds it then", async () => {
    chmodSync(home, 0o755);
    const { stdout, report, exitCode } = await shell(
      [...as("other", "fetch:web"), "--uid", "54321"],
      'id -u; stat -c "%u %a" "$(dirname "$(echo "$SPIFFE_ENDPOINT_SOCKET" | cut -c8-)")"; set -- $(cat /proc/$$/stat); test "$6" = $$ && echo own session',
    );
    // Root changes files in that directory, so the account must not.
    expect([stdout.trim(), exitCode]).toEqual(["54321\n0 710\nown session", 0]);
    expect(report).toMatch(/bound to uid 54321( and control group \S+)?: launcher/);
  });

  test.skipIf(!hasWalls)("in a sandbox is asked to end before it is made to", async () => {
    const line = 'trap "exit 5" TERM; echo {}; while :; do sleep 0.1; done';
    const running = start([...as("polite", "fetch:web"), "--sandbox"], ["sh", "-c", line]);
    await running.next();
    running.process.kill("SIGTERM");
    expect(await running.ended).toBe(5);
  });

  test.skipIf(!hasWalls)(
    "in a sandbox has its identity, and sees no key, no other process and no network but what is allowed",
    async () => {
      const inner = start([...as("walled", "fetch:web"), "--sandbox", "--read-only", ROOT], client("--once"));
      const walled = [expect.stringMatching(/\/walled\/inst-/), "spiffe://acme.test/walled"];
      expect((await inner.next()).ids).toEqual(walled);
      expect(await inner.ended).toBe(0);
      const listener = createServer((socket) => socket.end("reached"));
      listener.listen(0, "127.0.0.1");
      await once(listener, "listening");
      const { port } = Object(listener.address());
      const key = join(home, ".config/trustwarden/owners/alice.pem");
      expect(existsSync(key)).toBe(true);
      const probe = [
        `cat "${key}" 2>/dev/null && echo KEY`,
        `exec 3<>/dev/tcp/127.0.0.1/${port} && echo DIRECT`,
        'ls /proc | grep -c "^[0-9]"',
        'echo "$HTTPS_PROXY"',
      ].join("; ");
      const probed = start([...as("walled", "fetch:web"), "--sandbox"], ["bash", "-c", `${probe}; true`]);
      let stdout = "";
      probed.process.stdout?.on("data", (chunk) => {
        stdout += chunk;
      });
      await probed.ended;
      expect(stdout).not.toMatch(/KEY|DIRECT/);
      expect(Number(/^\d+$/m.exec(stdout)?.[0])).toBeLessThan(8);
      expect(stdout).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/m);
      const ask = (target: string) =>
        `P=\${HTTPS_PROXY##*:}; exec 3<>/dev/tcp/127.0.0.1/$P; printf 'CONNECT ${target} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3; timeout 5 head -c 60 <&3`;
      const open = start(
        [...as("walled", "fetch:web"), "--sandbox", "--allow", `127.0.0.1:${port}`],
        ["bash", "-c", ask(`127.0.0.1:${port}`)],
      );
      let answer = "";
      open.process.stdout?.on("data", (chunk) => {
        answer += chunk;
      });
      await open.ended;
      expect(answer).toContain("200 Connection Established");
      const shut = start(
        [...as("walled", "fetch:web"), "--sandbox", "--allow", "127.0.0.1:1"],
        ["bash", "-c", ask(`127.0.0.1:${port}`)],
      );
      await shut.ended;
      expect(shut.report()).toContain(`the sandbox refused 127.0.0.1:${port}`);
      listener.close();
    },
  );
});
