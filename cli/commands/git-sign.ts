/**
 * `warden git-sign`: git's signing program for X.509 (`gpg.format=x509`, `gpg.x509.program`), with an agent's SVID.
 *
 * Speaks what git asks of gpgsm: `--status-fd=<fd> -bsau <key>` signs standard input, `--status-fd=<fd> --verify <file> -`
 * checks it. The key that git names is not looked at: the identity at hand signs, and no other.
 *
 * Signing is an action on the path: whoever holds the identity has `sign:git:<repository>` decided and recorded, with the
 * digest of what is signed, before a byte of a signature exists. A signature without that record is good to git, and worth
 * nothing to `warden git-hook`.
 */
import { readFileSync, writeSync } from "node:fs";
import { parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { issueDetachedCms } from "@trustwarden/core/agentid/cms.ts";
import { formatSignedMessage } from "@trustwarden/core/agentid/git-signature.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand } from "../command.ts";
import { bundlesOf } from "../git/bundles.ts";
import { type GitIdentity, openGitIdentity } from "../git/identity.ts";
import { kindOfPayload, signingOf } from "../git/signing.ts";
import { verifyGitSignature } from "../git/verify.ts";
import type { Io } from "../io.ts";
import { printable } from "../output.ts";

const STATUS_FD = /^--status-fd=([12])$/;
const MAX_INPUT_BYTES = 64 * 1024 * 1024;
const STDIN = 0;

export function addGitSignCommand(program: Command, runtime: Runtime): void {
  program
    .command("git-sign")
    .description("git's x509 signing program: signs and checks commits and tags with an agent's SVID")
    .argument("[arguments...]", "as git gives them")
    .option("--repo <name>", "as scopes name it: sign:git:<name>; needed to sign")
    .allowUnknownOption()
    .addHelpText(
      "after",
      examples(
        "git config gpg.format x509",
        'git config gpg.x509.program /usr/local/bin/warden-git-sign   # exec warden git-sign --repo tools "$@"',
        "git commit -S -m 'signed by this agent'",
      ),
    )
    .action((args: readonly string[], { repo }: { readonly repo?: string }, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "Nothing was signed.",
        run: async ({ io }) => {
          const status = Number(
            args.map((arg) => STATUS_FD.exec(arg)?.[1]).find((fd) => fd !== undefined) ?? 2,
          );
          const at = args.indexOf("--verify");
          const identity = await openGitIdentity(io);
          if (at === -1) await sign(io, identity, { status, repo });
          else verify(io, identity, { status, file: args[at + 1] ?? "" });
        },
      }),
    );
}

async function sign(
  io: Io,
  { chain, signer }: GitIdentity,
  { status, repo }: { readonly status: number; readonly repo: string | undefined },
): Promise<void> {
  if (repo === undefined)
    throw new TrustWardenError("usage", { why: "the repository is not named", next: "Give --repo <name>." });
  const payload = readInput(STDIN);
  // Loaded here, since git starts this program to verify far more often than to sign.
  const { requestOwnDecision } = await import("@trustwarden/node/launcher/own-decision.ts");
  await requestOwnDecision(holderOf(io), signingOf(repo, kindOfPayload(payload), payload));
  const now = Math.floor(io.nowMs() / 1000);
  const [leaf] = chain.map(parseCertificate);
  if (leaf === undefined || now >= leaf.notAfter) throw new TrustWardenError("identity_expired");
  io.stdout(formatSignedMessage(issueDetachedCms(payload, { chain, signer, now })));
  report(status, [`SIG_CREATED D 22 8 00 ${now} ${leaf.sha256}`]);
}

/** Who signs intents in the name of this process. @throws TrustWardenError `usage`. */
function holderOf({ env }: Io): string {
  const address = env.SPIFFE_ENDPOINT_SOCKET;
  if (address !== undefined) return address;
  throw new TrustWardenError("usage", {
    why: "nobody is at hand who has the signature decided",
    next: "Sign under `warden run`, which sets SPIFFE_ENDPOINT_SOCKET.",
  });
}

function verify(
  io: Io,
  identity: GitIdentity,
  { status, file }: { readonly status: number; readonly file: string },
): void {
  const now = Math.floor(io.nowMs() / 1000);
  const signature = readFileSync(file, "utf8");
  try {
    const bundles = bundlesOf(identity.chain, identity.roots);
    const { spiffeId, svidSha256, signedAt } = verifyGitSignature(signature, readInput(STDIN), {
      bundles,
      now,
    });
    report(status, [
      "NEWSIG",
      `GOODSIG ${svidSha256} ${printable(spiffeId)}`,
      `VALIDSIG ${svidSha256} ${formatDay(signedAt)} ${signedAt} 0`,
      "TRUST_FULLY 0 shell",
    ]);
    io.stderr(`warden: a good signature of ${printable(spiffeId)}\n`);
  } catch (error) {
    report(status, ["NEWSIG", "BADSIG 0000000000000000 unknown"]);
    throw error;
  }
}

function readInput(fd: number): Uint8Array {
  const bytes = readFileSync(fd);
  if (bytes.length > MAX_INPUT_BYTES)
    throw new TrustWardenError("request_too_large", { bytes: bytes.length });
  return bytes;
}

/** git looks for these lines, each at the beginning of one. */
function report(fd: number, lines: readonly string[]): void {
  writeSync(fd, lines.map((line) => `[GNUPG:] ${line}\n`).join(""));
}

function formatDay(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 10);
}
