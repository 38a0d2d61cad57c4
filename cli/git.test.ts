/** `warden git-sign` and `warden git-hook` with real git and OpenSSL, against a running server. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash, createPublicKey, sign } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { issueDetachedCms } from "@trustwarden/core/agentid/cms.ts";
import { formatSignedMessage, splitSigned } from "@trustwarden/core/agentid/git-signature.ts";
import { eventPage } from "@trustwarden/core/api/ledger.ts";
import { parseBase64 } from "@trustwarden/core/bytes.ts";
import { createWorkloadApiClient } from "trustwarden";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createOwner, type TestOwner } from "../test/support/actors.ts";
import { sendAdmin } from "../test/support/http.ts";
import { startTestServer, type TestServer } from "../test/support/server.ts";
import { ReceivedObjects } from "./git/objects.ts";
import { openHolder, type TestHolder } from "./git.test.support.ts";

const MAIN = join(import.meta.dirname, "main.ts");
const hasGit = spawnSync("git", ["--version"]).status === 0;
if (!hasGit && process.env.CI !== undefined) throw new Error("CI tests git, and there is none");
if (!hasGit) console.warn("SKIPPED: git is not installed, so nothing of it was tested");

let directory: string;
let server: TestServer;
let owner: TestOwner;
let bare: string;
const holders: TestHolder[] = [];
/** Of each clone. */
const sockets = new Map<string, string>();

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "git-"));
  server = await startTestServer();
  owner = await createOwner(server);
  bare = join(directory, "tools.git");
  execFileSync("git", ["init", "--quiet", "--bare", bare]);
  const { dataDir, configDir } = server.home;
  const node = `"${process.execPath}" "${MAIN}"`;
  const place = `--data "${dataDir}" --config-dir "${configDir}"`;
  script(join(bare, "hooks/pre-receive"), `exec ${node} git-hook pre-receive --repo tools ${place}`);
  script(join(directory, "sign"), `exec ${node} git-sign --repo tools "$@"`);
});
afterAll(async () => {
  await Promise.all(holders.map((holder) => holder.close()));
  await server?.close();
  server?.home.remove();
  rmSync(directory, { recursive: true, force: true });
});

function script(path: string, line: string): void {
  writeFileSync(path, `#!/bin/sh\n${line}\n`, { mode: 0o755 });
}

/** An agent that may sign in the repository, and what else its scope says. */
async function hold(scope: readonly string[], ttlSeconds?: number): Promise<TestHolder> {
  const wanted = { scope: ["sign:git:tools", ...scope], ...(ttlSeconds === undefined ? {} : { ttlSeconds }) };
  const holder = await openHolder(server, owner, wanted);
  holders.push(holder);
  return holder;
}

/** A clone whose commits this agent signs. */
async function cloneOf(agent: TestHolder, name: string): Promise<string> {
  const clone = join(directory, name);
  sockets.set(clone, agent.socket);
  execFileSync("git", ["clone", "--quiet", bare, clone], { stdio: "ignore" });
  for (const [key, value] of [
    ["user.name", name],
    ["user.email", `${name}@acme.test`],
    ["gpg.format", "x509"],
    ["gpg.x509.program", join(directory, "sign")],
    ["user.signingkey", "ignored"],
  ]) {
    execFileSync("git", ["-C", clone, "config", String(key), String(value)]);
  }
  return clone;
}

/** In the background: the hooks that git starts ask the server of this very process. */
async function git(clone: string, ...args: readonly string[]) {
  return run(clone, "git", ...args);
}

async function run(clone: string, program: string, ...args: readonly string[]) {
  const env = { ...process.env, SPIFFE_ENDPOINT_SOCKET: sockets.get(clone), GIT_TERMINAL_PROMPT: "0" };
  const child = spawn(program, args, { cwd: clone, env, stdio: ["ignore", "pipe", "pipe"] });
  const printed = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    printed.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    printed.stderr += text;
  });
  const [status] = await once(child, "close");
  return { status: Number(status), ...printed };
}

async function commit(clone: string, message: string, ...args: readonly string[]): Promise<void> {
  writeFileSync(join(clone, "file"), message);
  await git(clone, "add", "file");
  const made = await git(clone, "commit", "--quiet", "-m", message, ...args);
  expect(made.stderr).toBe("");
}

/** What the repository itself says. */
function tipOf(ref: string): string {
  return execFileSync("git", ["-C", bare, "rev-parse", ref], { encoding: "utf8" }).trim();
}

async function revoke({ instanceId: id }: TestHolder): Promise<void> {
  const target = { kind: "instance", id };
  const body = JSON.stringify({ target, reason: "test" });
  await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
}

const SCOPE = ["push:git:tools/refs/heads/main"];

describe.skipIf(!hasGit)("a commit signed by an agent", () => {
  test("verifies in git and in OpenSSL, and not after one changed byte", async () => {
    const clone = await cloneOf(await hold(SCOPE), "signer");
    await commit(clone, "first", "-S");
    const checked = await git(clone, "verify-commit", "--raw", "HEAD");
    expect([checked.status, checked.stderr.includes("GOODSIG")]).toEqual([0, true]);
    expect((await git(clone, "log", "-1", "--format=%G?")).stdout.trim()).toBe("G");
    const object = (await git(clone, "cat-file", "commit", "HEAD")).stdout;
    const { payload, signature } = splitSigned("commit", object);
    writeFileSync(join(directory, "payload"), payload);
    const der = parseBase64((signature ?? "").trim().split("\n").slice(1, -1).join(""));
    writeFileSync(join(directory, "cms.der"), der);
    const roots = join(directory, "roots.pem");
    writeFileSync(roots, (await sendAdmin(server.adminSocket, { target: "/v1/bundle.pem" })).text);
    const verify = (content: string) =>
      spawnSync("openssl", [
        ...["cms", "-verify", "-inform", "DER", "-in", join(directory, "cms.der"), "-binary"],
        ...["-content", content, "-CAfile", roots, "-purpose", "any", "-out", "/dev/null"],
      ]).status;
    expect(verify(join(directory, "payload"))).toBe(0);
    writeFileSync(join(directory, "changed"), payload.replace("first", "fIrst"));
    expect(verify(join(directory, "changed"))).not.toBe(0);
    writeFileSync(join(directory, "forged"), object.replace("first", "fIrst"));
    const forged = (
      await git(clone, "hash-object", "-t", "commit", "-w", join(directory, "forged"))
    ).stdout.trim();
    expect((await git(clone, "verify-commit", forged)).status).not.toBe(0);
  });
});

test.skipIf(!hasGit)("the guide's lines make a repository whose commits are signed", async () => {
  const guide = readFileSync(join(import.meta.dirname, "../docs/guides/git.md"), "utf8");
  const lines = [...guide.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, block = ""]) =>
    block.trim().split("\n"),
  );
  expect(lines.length).toBeGreaterThan(3);
  const clone = await cloneOf(await hold(SCOPE), "reader");
  script(join(clone, "warden-git-sign"), `exec "${process.execPath}" "${MAIN}" git-sign --repo tools "$@"`);
  for (const line of lines) expect((await run(clone, "sh", "-c", line)).status, line).toBe(0);
});

describe.skipIf(!hasGit)("signing", () => {
  const SIGNING = { kind: "action", action: "sign:git:tools" };
  const recordsOf = async ({ spiffeId }: TestHolder) => {
    const query = new URLSearchParams({ ...SIGNING, agent: spiffeId });
    const { text } = await sendAdmin(server.adminSocket, { target: `/v1/events?${query}` });
    return eventPage.parse(JSON.parse(text)).events.map(({ resource, outcome }) => ({ resource, outcome }));
  };

  /** The program itself, since git does not pass on what it says. */
  const ask = (clone: string, input: string, ...args: readonly string[]) => {
    const words = `"${process.execPath}" "${MAIN}" git-sign ${args.join(" ")} --status-fd=2 -bsau x`;
    return run(clone, "sh", "-c", `printf '${input}' | ${words}`);
  };

  test("is decided and recorded with the digest of what is signed, a commit or a tag", async () => {
    const agent = await hold(SCOPE);
    const clone = await cloneOf(agent, "recorded");
    await commit(clone, "recorded", "-S");
    await git(clone, "tag", "-s", "-m", "recorded", "recorded");
    const digestOf = async (kind: "commit" | "tag", id: string) => {
      const { payload } = splitSigned(kind, (await git(clone, "cat-file", kind, id)).stdout);
      return createHash("sha256").update(payload, "latin1").digest("hex");
    };
    expect(await recordsOf(agent)).toEqual([
      { resource: `git://tools/tag/${await digestOf("tag", "recorded")}`, outcome: "success" },
      { resource: `git://tools/commit/${await digestOf("commit", "HEAD")}`, outcome: "success" },
    ]);
  });

  test("is denied beyond the scope, and then there is no signature; the denial is recorded", async () => {
    const agent = await openHolder(server, owner, { scope: ["sign:git:other", ...SCOPE] });
    holders.push(agent);
    const clone = await cloneOf(agent, "unscoped");
    const asked = await ask(clone, "tree 1\\n", "--repo", "tools");
    expect([asked.status, asked.stdout, asked.stderr]).toEqual([1, "", expect.stringContaining("(denied)")]);
    expect((await git(clone, "commit", "--quiet", "--allow-empty", "-m", "x", "-S")).status).not.toBe(0);
    expect((await git(clone, "rev-parse", "--verify", "HEAD")).status).not.toBe(0);
    expect(await recordsOf(agent)).toEqual([
      { resource: expect.stringMatching(/^git:\/\/tools\/commit\/[0-9a-f]{64}$/), outcome: "denied" },
      { resource: expect.stringMatching(/^git:/), outcome: "denied" },
    ]);
  });

  test("needs somebody who has it decided, a name of the repository, and a commit or a tag", async () => {
    const clone = await cloneOf(await hold(SCOPE), "asking");
    const refusals = [
      await ask(clone, "tree 1\n"),
      await ask(clone, "tree 1\n", "--repo", "../x"),
      await ask(clone, "certificate version 0.1\n", "--repo", "tools"),
    ];
    for (const { status, stdout, stderr } of refusals)
      expect([status === 0, stdout, stderr]).toEqual([false, "", expect.stringContaining("usage")]);
  });

  test("with the bare key gains nothing: git calls it good, and the hook asks for the record", async () => {
    const agent = await hold(SCOPE);
    const clone = await cloneOf(agent, "bare-key");
    const client = createWorkloadApiClient({ socket: agent.socket });
    const [{ chain, privateKey }] = (await client.fetchX509()).svids;
    client.close();
    await commit(clone, "undecided", "--no-gpg-sign");
    const payload = (await git(clone, "cat-file", "commit", "HEAD")).stdout;
    const now = Math.floor(Date.now() / 1000);
    const signer = {
      algorithm: "ES256" as const,
      publicKey: createPublicKey(privateKey),
      sign: (data: Uint8Array) =>
        new Uint8Array(sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" })),
    };
    const cms = formatSignedMessage(issueDetachedCms(Buffer.from(payload, "latin1"), { chain, signer, now }));
    const header = `gpgsig ${cms.trimEnd().replaceAll("\n", "\n ")}`;
    writeFileSync(join(clone, "signed"), payload.replace("\n\n", `\n${header}\n\n`), "latin1");
    const id = (await git(clone, "hash-object", "-t", "commit", "-w", "signed")).stdout.trim();
    expect((await git(clone, "verify-commit", id)).status).toBe(0);
    const pushed = await git(clone, "push", "--quiet", "origin", `${id}:refs/heads/main`);
    expect([pushed.status === 0, pushed.stderr.includes("nobody decided this signature")]).toEqual([
      false,
      true,
    ]);
  });
});

describe.skipIf(!hasGit)("a push", () => {
  test("is taken when every commit is signed by an agent that may make it, and refused otherwise", async () => {
    const clone = await cloneOf(await hold(SCOPE), "pusher");
    const push = (...args: readonly string[]) => git(clone, "push", "--quiet", "origin", ...args);
    await commit(clone, "unsigned", "--no-gpg-sign");
    const unsigned = await push("HEAD:refs/heads/main");
    expect([unsigned.status === 0, unsigned.stderr.includes("push_refused")]).toEqual([false, true]);
    // A signed commit on top of an unsigned one brings both.
    await commit(clone, "signed", "-S");
    expect((await push("HEAD:refs/heads/main")).status).not.toBe(0);
    await git(clone, "checkout", "--quiet", "--orphan", "clean");
    await commit(clone, "clean", "-S");
    const taken = await push("HEAD:refs/heads/main");
    expect([taken.status, taken.stderr.includes("every new commit is signed")]).toEqual([0, true]);
    await commit(clone, "more", "-S");
    const outside = await push("HEAD:refs/heads/release");
    expect(outside.stderr).toContain("may not push:git:tools/refs/heads/release");
    const before = tipOf("refs/heads/main");
    expect((await push(":refs/heads/main")).stderr).toContain("signed by nobody");
    expect([before, tipOf("refs/heads/main")]).toEqual([expect.stringMatching(/^[0-9a-f]{40}$/), before]);
  });

  test("of a revoked agent is refused, though its signature is good", async () => {
    const agent = await hold(SCOPE);
    const clone = await cloneOf(agent, "revoked");
    await git(clone, "checkout", "--quiet", "-B", "main", "origin/main");
    await commit(clone, "late", "-S");
    await revoke(agent);
    // Its own identity is withdrawn; to whoever else has the roots the signature is good.
    sockets.set(clone, (await hold(SCOPE)).socket);
    expect((await git(clone, "verify-commit", "HEAD")).status).toBe(0);
    const late = await git(clone, "push", "--quiet", "origin", "HEAD:refs/heads/main");
    expect([late.status === 0, late.stderr.includes("revoked")]).toEqual([false, true]);
  });
});

describe.skipIf(!hasGit)("a commit that the repository has under another ref", () => {
  const FEATURE = "refs/heads/feature";
  const MAIN_REF = "refs/heads/main";
  let merger: string;
  const pushFrom = (clone: string, ...args: readonly string[]) =>
    git(clone, "push", "--quiet", "origin", ...args);

  /** On top of main. */
  async function branch(clone: string, message: string): Promise<void> {
    await git(clone, "fetch", "--quiet", "origin");
    await git(clone, "checkout", "--quiet", "-B", "work", "origin/main");
    await commit(clone, message, "-S");
  }

  beforeAll(async () => {
    merger = await cloneOf(await hold(SCOPE), "merger");
    const taken = await git(merger, "ls-remote", "origin", MAIN_REF);
    if (taken.stdout !== "") return;
    await commit(merger, "root", "-S");
    expect((await pushFrom(merger, `HEAD:${MAIN_REF}`)).status).toBe(0);
  });

  test("is not taken to a ref that its signer may not push, and may be merged there by one who may", async () => {
    const scope = [`push:git:tools/${FEATURE}`];
    const clone = await cloneOf(await hold(scope), "feature");
    await branch(clone, "feature");
    expect((await pushFrom(clone, `HEAD:${FEATURE}`)).status).toBe(0);
    const before = tipOf(MAIN_REF);
    const other = await pushFrom(clone, `HEAD:${MAIN_REF}`);
    expect([other.status === 0, tipOf(MAIN_REF)]).toEqual([false, before]);
    expect(other.stderr).toContain(`may not push:git:tools/${MAIN_REF}`);
    const created = await pushFrom(clone, "HEAD:refs/heads/another");
    expect(created.stderr).toContain("may not push:git:tools/refs/heads/another");
    await git(merger, "fetch", "--quiet", "origin");
    await git(merger, "checkout", "--quiet", "-B", "work", "origin/main");
    const merged = await git(merger, "merge", "--quiet", "--no-ff", "-S", "-m", "merged", "origin/feature");
    expect([merged.stderr, (await pushFrom(merger, `HEAD:${MAIN_REF}`)).status]).toEqual(["", 0]);
  });

  test("is not merged without a signature, however it got there", async () => {
    await git(merger, "checkout", "--quiet", "-B", "work", "origin/main");
    await commit(merger, "nobody", "--no-gpg-sign");
    const unsigned = (await git(merger, "rev-parse", "HEAD")).stdout.trim();
    await git(
      merger,
      "push",
      "--quiet",
      "--receive-pack=git -c core.hooksPath=/dev/null receive-pack",
      "origin",
      "HEAD:refs/heads/past",
    );
    expect(tipOf("refs/heads/past")).toBe(unsigned);
    expect((await pushFrom(merger, "HEAD:refs/heads/main")).stderr).toContain("not signed by an agent");
    await commit(merger, "on top", "-S");
    expect((await pushFrom(merger, `HEAD:${MAIN_REF}`)).stderr).toContain("not signed by an agent");
  });

  test("is not taken to another ref once its signer is revoked", async () => {
    const agent = await hold(["push:git:tools/refs/heads/**"]);
    const clone = await cloneOf(agent, "both");
    await branch(clone, "both");
    expect((await pushFrom(clone, "HEAD:refs/heads/both")).status).toBe(0);
    await revoke(agent);
    const before = tipOf(MAIN_REF);
    const late = await pushFrom(clone, `HEAD:${MAIN_REF}`);
    expect([late.status === 0, late.stderr.includes("revoked"), tipOf(MAIN_REF)]).toEqual([
      false,
      true,
      before,
    ]);
  });

  test("does not take commits away from a ref", async () => {
    await git(merger, "fetch", "--quiet", "origin");
    await git(merger, "checkout", "--quiet", "-B", "work", "origin/main");
    await commit(merger, "one more", "-S");
    expect((await pushFrom(merger, `HEAD:${MAIN_REF}`)).status).toBe(0);
    const before = tipOf(MAIN_REF);
    const rewound = await pushFrom(merger, "--force", `HEAD~1:${MAIN_REF}`);
    expect(rewound.stderr).toContain("takes commits away");
    await git(merger, "checkout", "--quiet", "-B", "aside", "HEAD~1");
    await commit(merger, "instead", "-S");
    const replaced = await pushFrom(merger, "--force", `HEAD:${MAIN_REF}`);
    expect(replaced.stderr).toContain("takes commits away");
    expect(tipOf(MAIN_REF)).toBe(before);
  });

  test("is tagged by an agent that may, and every tag down to it is signed", async () => {
    const scope = ["push:git:tools/refs/tags/**"];
    const clone = await cloneOf(await hold(scope), "tagger");
    await git(clone, "tag", "-s", "-m", "inner", "inner", "origin/main");
    await git(clone, "tag", "-s", "-m", "outer", "outer", "inner");
    expect((await pushFrom(clone, "refs/tags/outer")).status).toBe(0);
    await git(clone, "tag", "-a", "--no-sign", "-m", "bare", "bare", "origin/main");
    await git(clone, "tag", "-s", "-m", "over", "over", "bare");
    expect((await pushFrom(clone, "refs/tags/over")).stderr).toContain("not signed by an agent");
    // Without a tag object nobody who may push tags answers for the commit.
    const plain = await pushFrom(clone, "origin/main:refs/tags/plain");
    expect(plain.stderr).toContain("may not push:git:tools/refs/tags/plain");
  });
});

test.skipIf(!hasGit)("two byte strings never share one signed text, and no graft hides a commit", () => {
  const place = mkdtempSync(join(directory, "objects-"));
  const run = (input: Buffer | string, ...args: readonly string[]) =>
    execFileSync("git", ["-C", place, ...args], { input, encoding: "utf8" }).trim();
  run("", "init", "--quiet");
  const tree = run("", "hash-object", "-t", "tree", "-w", "--stdin");
  const made = (text: Buffer, ...parents: readonly string[]) => {
    const lines = [`tree ${tree}`, ...parents.map((id) => `parent ${id}`), "author a <a> 0 +0000"];
    const head = Buffer.from(`${lines.join("\n")}\ncommitter a <a> 0 +0000\n\n`);
    return run(Buffer.concat([head, text]), "hash-object", "-t", "commit", "-w", "--stdin");
  };
  const [one, two] = [made(Buffer.from([0xff])), made(Buffer.from([0xfe]))];
  const child = made(Buffer.from("child"), one);
  mkdirSync(join(place, ".git/info"), { recursive: true });
  writeFileSync(join(place, ".git/info/grafts"), `${child}\n`);
  const objects = new ReceivedObjects({ ...process.env, GIT_DIR: join(place, ".git") });
  expect(objects.read("commit", one)).not.toBe(objects.read("commit", two));
  expect(objects.newToRepository(child)).toEqual([child, one]);
});
