/**
 * Our proofs of entries (C2SP tlog-proof) before three verifiers that nobody here wrote: torchwood's `VerifyProof`, its
 * `spicy`, and the code by which `@sigstore/verify` checks that an entry is in a log. Sound, and with each single bit of
 * a proof and of its entry flipped.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseVkey } from "@trustwarden/core/agentledger/signed-note.ts";
import { parseTlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import {
  formatTlogProof,
  parseTlogProof,
  verifyTlogProof,
} from "@trustwarden/core/agentledger/tlog-proof.ts";
import { TreeReader } from "@trustwarden/core/agentledger/tree-reader.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { z } from "zod";
import { PosixLogReader } from "../server/store/posix-log.ts";
import { requireOutput, runCommand } from "./command.ts";
import { countVerdicts, type Findings, type Lab, type Verdict } from "./judge.ts";
import type { ExportedLedger } from "./ledger-log.ts";
import { requireNpmPackages, requireTlogTools, type TlogTools } from "./tools.ts";

const TIMEOUT_MS = 60_000;
/** Entries of a ledger that are proven. */
const PROOFS = 200;
/** Of them, so many have every bit flipped: the two ends of the log, and some others. */
const FLIPPED = 4;
/** An entry whose bits are all tried is no longer than this. */
const MAX_FLIPPED_BYTES = 4000;
/** The key of the example in C2SP signed-note. */
const SOMEONES_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const HEADER = "c2sp.org/tlog-proof@v1\n";

const report = z.object({
  accepted: z.number(),
  refused: z.number(),
  wrong: z.array(z.string()),
  unnoticed: z.array(z.object({ claim: z.number(), byte: z.number(), bit: z.number() })),
});

/** An entry and the proof that we made of it. */
export interface ProvenClaim {
  readonly index: number;
  readonly entry: Uint8Array;
  readonly proof: string;
}

/** What the three find of a ledger's proofs. */
export async function judgeOurProofs(lab: Lab, ledger: ExportedLedger): Promise<Findings> {
  const tools = await requireTlogTools(lab);
  const claims = await createClaims(lab, ledger);
  const policy = `log ${ledger.vkey}\nquorum none\n`;
  const found = [
    await askTorchwood({ lab, tools, policy, claims }),
    await askSpicy({ lab, tools, ledger, claims }),
    await askSigstore(lab, ledger, claims),
  ];
  return {
    accepted: found.reduce((sum, { accepted }) => sum + accepted, 0),
    refused: found.reduce((sum, { refused }) => sum + refused, 0),
    wrong: found.flatMap(({ wrong }) => wrong),
  };
}

async function createClaims(
  { random }: Lab,
  { directory, size }: ExportedLedger,
): Promise<readonly ProvenClaim[]> {
  const tree = new TreeReader(new PosixLogReader(directory), size);
  const checkpoint = readFileSync(join(directory, "checkpoint"), "utf8");
  const chosen = new Set([0, size - 1]);
  while (chosen.size < Math.min(PROOFS, size)) chosen.add(random.below(size));
  const claims: ProvenClaim[] = [];
  for (const index of chosen) {
    const proof = await tree.readInclusionProof(index, size);
    const entry = await tree.readEntry(index);
    claims.push({ index, entry, proof: formatTlogProof({ index, proof, checkpoint }) });
  }
  return claims;
}

/**
 * Torchwood's verdict on all proofs. What it lets pass of the flipped ones has to be a spare bit of base64, which Go's
 * decoder ignores and RFC 4648 allows; our own verifier has to refuse it.
 */
export async function askTorchwood({
  lab,
  tools,
  policy,
  claims,
  broken = [],
}: {
  readonly lab: Lab;
  readonly tools: TlogTools;
  readonly policy: string;
  readonly claims: readonly ProvenClaim[];
  readonly broken?: readonly ProvenClaim[];
}): Promise<Findings> {
  const [policyFile, proofs] = [join(lab.scratch, "proofs.policy"), join(lab.scratch, "tlog-proofs.json")];
  writeFileSync(policyFile, policy);
  const flipped = claims.filter(({ entry }) => entry.length <= MAX_FLIPPED_BYTES).slice(0, FLIPPED);
  const toJson = ({ entry, proof }: ProvenClaim) => ({ entry: Buffer.from(entry).toString("base64"), proof });
  writeFileSync(
    proofs,
    JSON.stringify({ sound: claims.map(toJson), broken: broken.map(toJson), flipped: flipped.map(toJson) }),
  );
  const args = ["-policy", policyFile, "-proofs", proofs];
  const said = await requireOutput(tools.proofjudge, args, { timeoutMs: TIMEOUT_MS });
  const { accepted, refused, wrong, unnoticed } = report.parse(JSON.parse(said));
  const excused = unnoticed.filter((place) => isSpareBit(flipped[place.claim], place, policy));
  const missed = unnoticed.filter((place) => !excused.includes(place));
  return {
    accepted,
    refused,
    wrong: [
      ...wrong.map((line) => `torchwood: ${line}`),
      ...missed.map(
        ({ claim, byte, bit }) => `torchwood: bit ${bit} of byte ${byte} of proof ${claim} is free`,
      ),
    ],
  };
}

/** The last digit of a hash or signature has spare bits; nothing else may be free, and here not even they are. */
function isSpareBit(
  claim: ProvenClaim | undefined,
  { byte, bit }: { readonly byte: number; readonly bit: number },
  policy: string,
): boolean {
  if (claim === undefined || byte < 0) return false;
  const bytes = Buffer.from(claim.proof);
  const isLastDigit =
    bytes
      .subarray(byte + 1, byte + 4)
      .toString("latin1")
      .match(/^={1,2}\n/) !== null;
  bytes[byte] = (bytes[byte] ?? 0) ^ (1 << bit);
  return isLastDigit && !isAcceptedByUs({ ...claim, proof: bytes.toString("utf8") }, policy);
}

function isAcceptedByUs({ entry, proof }: ProvenClaim, policy: string): boolean {
  try {
    verifyTlogProof(proof, { entry, policy: parseTlogPolicy(policy) });
    return true;
  } catch (error) {
    if (!(error instanceof TrustWardenError)) throw error;
    return false;
  }
}

/** `spicy` reads the form of before the specification: ours without its first line. */
async function askSpicy({
  lab: { scratch, random },
  tools: { spicy },
  ledger: { vkey },
  claims,
}: {
  readonly lab: Lab;
  readonly tools: TlogTools;
  readonly ledger: ExportedLedger;
  readonly claims: readonly ProvenClaim[];
}): Promise<Findings> {
  const file = join(scratch, "entry");
  const verdicts: Verdict[] = [];
  const ask = async (expected: Verdict["expected"], name: string, entry: Uint8Array, proof: string) => {
    writeFileSync(file, entry);
    writeFileSync(`${file}.spicy`, proof.slice(HEADER.length));
    const { code, stderr } = await runCommand(spicy, ["-verify", vkey, file], { timeoutMs: TIMEOUT_MS });
    verdicts.push({ name: `spicy on ${name}`, expected, isAccepted: code === 0, said: stderr.trim() });
  };
  for (const { index, entry, proof } of claims.slice(0, FLIPPED)) {
    await ask("accept", `entry ${index}`, entry, proof);
    await ask("refuse", `entry ${index}, bent`, bend(entry, random.below(entry.length)), proof);
    const bent = bend(Buffer.from(proof), HEADER.length + random.below(proof.length - HEADER.length - 6));
    await ask("refuse", `entry ${index}, bent proof`, entry, Buffer.from(bent).toString("latin1"));
  }
  return countVerdicts(verdicts);
}

/** One bit is changed that no base64 leaves free. */
function bend(bytes: Uint8Array, at: number): Uint8Array {
  const bent = Uint8Array.from(bytes);
  bent[at] = (bent[at] ?? 0) ^ 0x40;
  return bent;
}

type Sigstore = (entry: object, logs: readonly object[]) => void;

/** The code by which Sigstore's verifier holds an entry against a checkpoint; it is not among its public names. */
async function askSigstore(
  lab: Lab,
  { vkey }: ExportedLedger,
  claims: readonly ProvenClaim[],
): Promise<Findings> {
  const folder = await requireNpmPackages(lab, "sigstore");
  const { verifyTLogInclusion } = createRequire(join(folder, "package.json"))("@sigstore/verify/dist/tlog");
  const ask = createSigstoreAsker(verifyTLogInclusion);
  const verdicts = claims.flatMap((claim): readonly Verdict[] => {
    const { checkpoint } = parseTlogProof(claim.proof);
    const other = checkpoint.replace(/\n(\d+)\n/, (_, size) => `\n${Number(size) + 1}\n`);
    const hear = (
      name: string,
      expected: Verdict["expected"],
      question: Parameters<typeof ask>[0],
    ): Verdict => ({
      name: `@sigstore/verify on entry ${claim.index}${name}`,
      expected,
      ...ask(question),
    });
    return [
      hear("", "accept", { claim, vkey }),
      hear(", bent", "refuse", { claim: { ...claim, entry: bend(claim.entry, 0) }, vkey }),
      hear(", another checkpoint", "refuse", { claim, vkey, checkpoint: other }),
      hear(", another log's key", "refuse", { claim, vkey: SOMEONES_VKEY }),
    ];
  });
  return countVerdicts(verdicts);
}

function createSigstoreAsker(verifyTLogInclusion: Sigstore) {
  return (question: {
    readonly claim: ProvenClaim;
    readonly vkey: string;
    /** In place of the proof's own. */
    readonly checkpoint?: string;
  }): Pick<Verdict, "isAccepted" | "said"> => {
    const { claim, vkey } = question;
    const { index, proof, checkpoint } = parseTlogProof(claim.proof);
    const envelope = question.checkpoint ?? checkpoint;
    const inclusionProof = {
      logIndex: String(index),
      hashes: proof.map((hash) => Buffer.from(hash)),
      checkpoint: { envelope },
    };
    const { keyId } = parseVkey(vkey);
    const logId = { keyId: Buffer.from(keyId) };
    const entry = { canonicalizedBody: Buffer.from(claim.entry), logId, inclusionProof };
    try {
      verifyTLogInclusion(entry, [authorityOf(vkey)]);
      return { isAccepted: true, said: undefined };
    } catch (error) {
      return { isAccepted: false, said: error instanceof Error ? error.message : String(error) };
    }
  };
}

/** A log as Sigstore's trust material has it: the key's id first, and an address that the key's name is part of. */
function authorityOf(vkey: string) {
  const { name, keyId, publicKey } = parseVkey(vkey);
  return { logID: Buffer.from(keyId), publicKey, baseURL: `https://${name}` };
}
