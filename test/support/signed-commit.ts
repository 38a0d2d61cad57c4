/** A commit that real git made, and that an agent signed by `warden git-sign`. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { holdTicket } from "../../cli/git.test.support.ts";

const MAIN = join(import.meta.dirname, "../../cli/main.ts");

/** @returns the commit, as `git cat-file commit` prints it. */
export async function commitBy(ticket: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "tw-e2e-git-"));
  const holder = await holdTicket(ticket);
  try {
    const program = join(folder, "sign");
    const line = `exec "${process.execPath}" "${MAIN}" git-sign --repo tools "$@"`;
    writeFileSync(program, `#!/bin/sh\n${line}\n`, { mode: 0o755 });
    const git = (...args: readonly string[]) => run(folder, { socket: holder.socket, args });
    const setting = (name: string, value: string) => ["-c", `${name}=${value}`];
    await git("init", "--quiet");
    await git(
      ...setting("user.name", "committer"),
      ...setting("user.email", "committer@acme.test"),
      ...setting("gpg.format", "x509"),
      ...setting("gpg.x509.program", program),
      ...setting("user.signingkey", "ignored"),
      ...["commit", "--quiet", "--allow-empty", "-S", "-m", "by an agent"],
    );
    return await git("cat-file", "commit", "HEAD");
  } finally {
    await holder.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** In the background: whoever signs asks the server of this very process. */
async function run(
  folder: string,
  { socket, args }: { readonly socket: string; readonly args: readonly string[] },
): Promise<string> {
  const env = { ...process.env, SPIFFE_ENDPOINT_SOCKET: socket, GIT_TERMINAL_PROMPT: "0" };
  const child = spawn("git", args, { cwd: folder, env, stdio: ["ignore", "pipe", "inherit"] });
  let printed = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    printed += text;
  });
  const [status] = await once(child, "close");
  if (status !== 0) throw new Error(`git ${args.at(-1)} ended with ${status}`);
  return printed;
}
