/** Attestation of real processes over real sockets, and the two races that attestation by process number loses. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmodSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import {
  formatSelectors,
  matches,
  parseSelectors,
  requireStrongSelectors,
} from "@trustwarden/core/agentid/selector.ts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { temporaryDirectory } from "../workload-api/endpoint.test.support.ts";
import { createAccounts } from "./accounts.ts";
import {
  CONNECT_AND_WAIT,
  end,
  isRoot,
  listenForPeers,
  NOBODY,
  type PeerListener,
  spawnAs,
  spawnWithPid,
} from "./attest.test.support.ts";
import { ExecutableDigests } from "./executable-digest.ts";
import { followByStartTime } from "./peer-process.ts";
import { createUnixAttestor } from "./unix-attestor.ts";

if (!isRoot) console.warn("not root: processes of other accounts are not tried");
const attestor = createUnixAttestor({ accounts: createAccounts(), digests: new ExecutableDigests() });
const EXE = realpathSync(process.execPath);
let directory: ReturnType<typeof temporaryDirectory>;
let socketPath: string;
let listener: PeerListener;

beforeEach(async () => {
  directory = temporaryDirectory();
  chmodSync(directory.path, 0o755);
  socketPath = join(directory.path, "peer.sock");
  listener = await listenForPeers(socketPath);
  chmodSync(socketPath, 0o666);
});
afterEach(async () => {
  await listener.close();
  directory.remove();
});

describe("attestation of a process", () => {
  it.runIf(isRoot)(
    "tells account, groups, program, digest and control group of another account's process",
    async () => {
      const arriving = listener.next();
      const child = spawnAs(NOBODY, CONNECT_AND_WAIT, { args: [socketPath] });
      const peer = await arriving;
      const { selectors, facts, processKey } = await attestor.attest(peer);
      const texts = formatSelectors(selectors);
      const sha256 = createHash("sha256").update(readFileSync(EXE)).digest("hex");
      expect(texts).toEqual(
        expect.arrayContaining([
          "unix:uid:65534",
          "unix:user:nobody",
          "unix:gid:65534",
          "unix:group:nogroup",
          `unix:path:${EXE}`,
          `unix:sha256:${sha256}`,
        ]),
      );
      expect(facts).toEqual({ pid: child.pid, uid: NOBODY, exe: EXE, strength: "unix" });
      expect(processKey).toMatch(new RegExp(`^${child.pid}:\\d+$`));
      await end(child);
      expect(peer.isAlive()).toBe(false);
      await expect(attestor.attest(peer)).rejects.toMatchObject({ code: "workload_gone" });
    },
  );

  it.runIf(isRoot)("tells the supplementary groups of the moment of connecting", async () => {
    const arriving = listener.next();
    const script = `process.setgroups([4,27]);require("net").connect(process.argv[1],()=>{process.setgroups([]);console.log("left")});setInterval(()=>{},1000)`;
    const child = spawn(process.execPath, ["-e", script, socketPath], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const peer = await arriving;
    if (child.stdout !== null) await once(child.stdout, "data");
    expect([...peer.groups].toSorted()).toEqual([27, 4]);
    const texts = formatSelectors((await attestor.attest(peer)).selectors);
    expect(texts).toEqual(expect.arrayContaining(["unix:supplementary_gid:4", "unix:supplementary_gid:27"]));
    await end(child);
  });

  it.runIf(isRoot)("refuses a process whose account is no longer the one that connected", async () => {
    const arriving = listener.next();
    const script = `require("net").connect(process.argv[1]);setTimeout(()=>{process.setgid(1);process.setuid(1);console.log("changed")},200);setInterval(()=>{},1000)`;
    const child = spawn(process.execPath, ["-e", script, socketPath], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const peer = await arriving;
    if (child.stdout !== null) await once(child.stdout, "data");
    await expect(attestor.attest(peer)).rejects.toMatchObject({ code: "workload_unattested" });
    await end(child);
  });

  it("hashes a program once, however many ask", async () => {
    const digests = new ExecutableDigests();
    const [first, ...rest] = await Promise.all(Array.from({ length: 20 }, () => digests.read(process.pid)));
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(new Set(rest)).toEqual(new Set([first]));
  });
});

describe("a shielded process", () => {
  it("hides its environment from its own account, and not that of what it starts", async () => {
    const script = `import(${JSON.stringify(import.meta.resolve("./kernel.ts"))}).then(async({openKernel})=>{
      const {spawnSync}=require("child_process");const kernel=await openKernel();
      const read=pid=>spawnSync("/bin/cat",["/proc/"+pid+"/environ"],{stdio:"ignore"}).status;
      const before=read(process.pid);kernel.shield();
      console.log(JSON.stringify({before,after:read(process.pid),started:read("self")}))})`;
    // Root may look at anything by its capabilities; without them it is an account like others.
    const program = isRoot ? ["/usr/bin/setpriv", "--bounding-set", "-all", "--inh-caps", "-all"] : ["env"];
    const [command = "", ...args] = [...program, process.execPath, "-e", script];
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
    const [told] = await once(child.stdout, "data");
    expect(JSON.parse(String(told))).toEqual({ before: 0, after: 1, started: 0 });
  });
});

describe("names of accounts", () => {
  it("come from the files, the first of an id, and are read again when a file changes", () => {
    const [passwd, group] = [join(directory.path, "passwd"), join(directory.path, "group")];
    writeFileSync(passwd, "alice:x:1000:1000::/:/bin/sh\nbob:x:1000:1::/:\nodd:x:12x:1\n");
    const accounts = createAccounts(passwd, group);
    expect([accounts.userName(1000), accounts.userName(12), accounts.groupName(7)]).toEqual([
      "alice",
      undefined,
      undefined,
    ]);
    writeFileSync(group, "staff:x:7:alice\n");
    writeFileSync(passwd, "carol:x:1000:1000::/:/bin/sh\n\n");
    expect([accounts.userName(1000), accounts.groupName(7)]).toEqual(["carol", "staff"]);
  });
});

/** Connects, hands the socket to a child and ends at once; the child tells its number and lives on. */
const HAND_OVER = `
const socket=require("net").connect(process.argv[1],()=>{
  const child=require("child_process").spawn(process.execPath,["-e","setInterval(()=>{},1000)"],{detached:true,stdio:["ignore","ignore","ignore",socket._handle.fd]});
  console.log(child.pid);setTimeout(()=>process.exit(),100)})`;

describe("B10: the process that connected is gone", () => {
  it("a child that inherited the connection is not the process that connected", async () => {
    const arriving = listener.next();
    const parent = spawnAs(NOBODY, HAND_OVER, { args: [socketPath] });
    const exited = once(parent, "exit");
    const peer = await arriving;
    expect(peer.isAlive()).toBe(true);
    const heir = parent.stdout === null ? 0 : Number(String((await once(parent.stdout, "data"))[0]));
    await exited;
    expect(peer.isAlive()).toBe(false);
    await expect(attestor.attest(peer)).rejects.toMatchObject({ code: "workload_gone" });
    process.kill(heir, "SIGKILL");
  });

  it.runIf(isRoot)(
    "a process that got the number of one that ended is another process, with and without pidfds",
    async () => {
      const arriving = listener.next();
      const first = spawnAs(NOBODY, CONNECT_AND_WAIT, { args: [socketPath] });
      const peer = await arriving;
      const older = followByStartTime(peer);
      expect([peer.isAlive(), older.isAlive()]).toEqual([true, true]);
      await end(first);
      const second = await spawnWithPid(Number(first.pid), {
        program: "/usr/bin/sleep",
        args: ["30"],
        uid: NOBODY,
      });
      expect([peer.isAlive(), older.isAlive()]).toEqual([false, false]);
      await expect(attestor.attest(peer)).rejects.toMatchObject({ code: "workload_gone" });
      await expect(attestor.attest(older)).rejects.toMatchObject({ code: "workload_gone" });
      await end(second);
    },
  );

  it("forgets a descriptor with its last holder, and answers no more", async () => {
    const arriving = listener.next();
    const socket = connect(socketPath);
    const peer = await arriving;
    const before = readdirSync("/proc/self/fd").length;
    const release = peer.hold();
    peer.close();
    peer.close();
    expect(peer.isAlive()).toBe(true);
    release();
    release();
    expect(peer.isAlive()).toBe(false);
    expect(readdirSync("/proc/self/fd").length).toBe(before - 1);
    socket.destroy();
  });
});

describe("the exec race", () => {
  it("a process of the same account can look like any program, so a program alone never matches", async () => {
    const arriving = listener.next();
    // The one that connected turns into the trusted program before anybody looks; its child keeps the socket.
    const script = `require("net").connect(process.argv[1],()=>process.execve("/usr/bin/sleep",["sleep","30"],process.env))`;
    const child = spawnAs(NOBODY, script, { args: [socketPath] });
    const peer = await arriving;
    await expect
      .poll(() => readFileSync(`/proc/${peer.pid}/comm`, "utf8"), { timeout: 5000 })
      .toBe("sleep\n");
    const { selectors } = await attestor.attest(peer);
    const program = parseSelectors(["unix:path:/usr/bin/sleep"]);
    expect(matches(program, selectors)).toBe(true);
    expect(() => requireStrongSelectors(program)).toThrow(
      expect.objectContaining({ code: "selectors_too_weak" }),
    );
    expect(matches(parseSelectors(["unix:path:/usr/bin/sleep", "unix:uid:4242"]), selectors)).toBe(false);
    await end(child);
  });
});
