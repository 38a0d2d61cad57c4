/** `warden git-sign` and `warden git-hook` with real git and OpenSSL, against a running server. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeBase64, parseBase64 } from "@trustwarden/core/bytes.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createOwner, enrolAgent, type TestInstance, type TestOwner } from "../test/support/actors.ts";
import { sendAdmin } from "../test/support/http.ts";
import { startTestServer, type TestServer } from "../test/support/server.ts";
import { ReceivedObjects } from "./git/objects.ts";
import { splitSigned } from "./git/signed-message.ts";

const MAIN = join(import.meta.dirname, "main.ts");
const hasGit = spawnSync("git", ["--version"]).status === 0;
if (!hasGit && process.env.CI !== undefined) throw new Error("CI tests git, and there is none");
if (!hasGit) console.warn("SKIPPED: git is not installed, so nothing of it was tested");

let directory: string;
let server: TestServer;
let owner: TestOwner;
let bare: string;

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
  script(join(directory, "sign"), `exec ${node} git-sign "$@"`);
});
afterAll(async () => {
  await server?.close();
  server?.home.remove();
  rmSync(directory, { recursive: true, force: true });
});

function script(path: string, line: string): void {
  writeFileSync(path, `#!/bin/sh\n${line}\n`, { mode: 0o755 });
}

/** A clone whose commits this instance signs. */
async function cloneOf(agent: TestInstance, name: string): Promise<string> {
  const svids = join(directory, `${name}-svid`);
  mkdirSync(svids, { mode: 0o700 });
  const pem = (der: string): string =>
    `-----BEGIN CERTIFICATE-----\n${encodeBase64(Buffer.from(der, "base64url"))}\n-----END CERTIFICATE-----\n`;
  writeFileSync(join(svids, "svid.pem"), agent.answer.svid_chain.map(pem).join(""));
  writeFileSync(join(svids, "svid.key"), String(agent.tls.key), { mode: 0o600 });
  const roots = await sendAdmin(server.adminSocket, { target: "/v1/bundle.pem" });
  writeFileSync(join(svids, "roots.pem"), roots.text);
  const clone = join(directory, name);
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
  const env = { ...process.env, TRUSTWARDEN_SVID_DIR: `${clone}-svid`, GIT_TERMINAL_PROMPT: "0" };
  const child = spawn("git", ["-C", clone, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
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

async function revoke(agent: TestInstance): Promise<void> {
  const target = { kind: "instance", id: agent.answer.instance_id };
  const body = JSON.stringify({ target, reason: "test" });
  await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
}

const SCOPE = ["push:git:tools/refs/heads/main"];

describe.skipIf(!hasGit)("a commit signed by an agent", () => {
  test("verifies in git and in OpenSSL, and not after one changed byte", async () => {
    const clone = await cloneOf(await enrolAgent(server, owner, { scope: SCOPE }), "signer");
    await commit(clone, "first", "-S");
    const checked = await git(clone, "verify-commit", "--raw", "HEAD");
    expect([checked.status, checked.stderr.includes("GOODSIG")]).toEqual([0, true]);
    expect((await git(clone, "log", "-1", "--format=%G?")).stdout.trim()).toBe("G");
    const object = (await git(clone, "cat-file", "commit", "HEAD")).stdout;
    const { payload, signature } = splitSigned("commit", object);
    writeFileSync(join(directory, "payload"), payload);
    const der = parseBase64((signature ?? "").trim().split("\n").slice(1, -1).join(""));
    writeFileSync(join(directory, "cms.der"), der);
    const verify = (content: string) =>
      spawnSync("openssl", [
        ...["cms", "-verify", "-inform", "DER", "-in", join(directory, "cms.der"), "-binary"],
        ...[
          "-content",
          content,
          "-CAfile",
          `${clone}-svid/roots.pem`,
          "-purpose",
          "any",
          "-out",
          "/dev/null",
        ],
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
  const clone = await cloneOf(await enrolAgent(server, owner, { scope: SCOPE }), "reader");
  script(join(clone, "warden-git-sign"), `exec "${process.execPath}" "${MAIN}" git-sign "$@"`);
  const env = { ...process.env, TRUSTWARDEN_SVID_DIR: `${clone}-svid` };
  for (const line of lines) expect(spawnSync("sh", ["-c", line], { cwd: clone, env }).status, line).toBe(0);
});

describe.skipIf(!hasGit)("a push", () => {
  test("is taken when every commit is signed by an agent that may make it, and refused otherwise", async () => {
    const clone = await cloneOf(await enrolAgent(server, owner, { scope: SCOPE }), "pusher");
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
    const agent = await enrolAgent(server, owner, { scope: SCOPE });
    const clone = await cloneOf(agent, "revoked");
    await git(clone, "checkout", "--quiet", "-B", "main", "origin/main");
    await commit(clone, "late", "-S");
    await revoke(agent);
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
    merger = await cloneOf(await enrolAgent(server, owner, { scope: SCOPE }), "merger");
    const taken = await git(merger, "ls-remote", "origin", MAIN_REF);
    if (taken.stdout !== "") return;
    await commit(merger, "root", "-S");
    expect((await pushFrom(merger, `HEAD:${MAIN_REF}`)).status).toBe(0);
  });

  test("is not taken to a ref that its signer may not push, and may be merged there by one who may", async () => {
    const scope = [`push:git:tools/${FEATURE}`];
    const clone = await cloneOf(await enrolAgent(server, owner, { scope }), "feature");
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
    const agent = await enrolAgent(server, owner, { scope: ["push:git:tools/refs/heads/**"] });
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
    const clone = await cloneOf(await enrolAgent(server, owner, { scope }), "tagger");
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
