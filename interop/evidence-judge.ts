/**
 * The two programs that travel in every evidence bundle, `verify.mjs` and `verify.go`, which share no code with us or
 * with each other, on bundles of a real server and on everything that a forger could make of them.
 */
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openEvidenceBundle } from "@trustwarden/core/agentledger/evidence-bundle.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { z } from "zod";
import { openKeys } from "../test/support/authority-keys.ts";
import { type BundleStory, createBundleStory, STORY_JOB } from "../test/support/evidence.ts";
import {
  brokenArchives,
  type Forgery,
  flippedBytes,
  flippedFiles,
  type ManifestKey,
  manifestKeyOf,
  operatorForgeries,
  underAnotherDomain,
  withCheckpoint,
  withHiddenEvent,
  withoutOneEntry,
  withoutSecondIntent,
} from "../test/support/evidence-forgeries.ts";
import { forgersVkey } from "../test/support/evidence-presented.ts";
import {
  cosignedShards,
  createShardedStory,
  hiddenShardForgeries,
  keyForgeries,
  rekeyed,
  relogged,
  type ShardedStory,
  shardForgeries,
} from "../test/support/evidence-shards.ts";
import { runCommand } from "./command.ts";
import { createStories, type EvidenceCase } from "./evidence-stories.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "./judge.ts";
import { requireGoProgram } from "./tools.ts";

const TIMEOUT_MS = 60_000;
/** Both programs look at each of them, a process each. */
const FLIPS = 10;

export const evidenceJudge: Judge = {
  name: "verify.mjs and verify.go on evidence bundles",
  run: judgeEvidence,
};

async function judgeEvidence(lab: Lab): Promise<Findings> {
  const program = await requireGoProgram(lab, {
    folder: join(lab.root, "server/evidence/verifiers"),
    name: "verify-evidence",
  });
  const verifier = join(lab.root, "server/evidence/verifiers/verify.mjs");
  const story = await createBundleStory();
  const sharded = await createShardedStory();
  const stories = await createStories(lab);
  try {
    const verdicts: Verdict[] = [];
    const cases = [
      ...(await casesOf(lab, story)),
      ...vectorCases(lab),
      ...stories.cases(),
      ...(await shardedCases(lab, sharded)),
    ];
    for (const one of cases) {
      const file = join(lab.scratch, "case.twb");
      writeFileSync(file, one.bytes);
      const options = { timeoutMs: TIMEOUT_MS };
      const [node, go] = await Promise.all([
        runCommand(process.execPath, [verifier, file, ...one.anchors], options),
        runCommand(program, [...one.anchors, file], options),
      ]);
      const isSame = one.expected === 1 || node.stdout === go.stdout;
      const isRight = node.code === one.expected && go.code === one.expected && isSame;
      const isAccepted = isRight === (one.expected === 0);
      const said = `node ${node.code}: ${lastLine(node.stdout)}; go ${go.code}: ${lastLine(go.stdout)}`;
      verdicts.push({ name: one.name, expected: one.expected === 0 ? "accept" : "refuse", isAccepted, said });
    }
    return countVerdicts(verdicts, "both programs on each");
  } finally {
    await stories.close();
    await sharded.server.close();
    sharded.server.home.remove();
    await story.server.close();
    story.server.home.remove();
  }
}

const vectorFile = z.object({
  cases: z.array(
    z.object({
      name: z.string(),
      input: z.object({
        bundle: z.string(),
        vkey: z.string(),
        roots: z.string(),
        earlier: z.string().optional(),
      }),
      expect: z.object({ value: z.object({ alarms: z.array(z.string()) }).optional() }),
    }),
  ),
});

/** The golden bundles, which the SDK and the Python package are held to. */
function vectorCases(lab: Lab): readonly EvidenceCase[] {
  const file = readFileSync(join(lab.root, "vectors/evidence.json"), "utf8");
  return vectorFile
    .parse(JSON.parse(file))
    .cases.map(({ name, input, expect: { value } }, index): EvidenceCase => {
      const write = (kind: string, text: string) => {
        const path = join(lab.scratch, `vector-${index}.${kind}`);
        writeFileSync(path, text);
        return path;
      };
      const { vkey, roots, earlier } = input;
      const known = roots.startsWith("{") ? ["--bundle", write("json", roots)] : ["--root", roots];
      const since = earlier === undefined ? [] : ["--since", write("checkpoint", earlier)];
      const expected = value === undefined ? 1 : value.alarms.length > 0 ? 3 : 0;
      const bytes = Buffer.from(input.bundle, "base64");
      return { name: `vector: ${name}`, bytes, expected, anchors: ["--vkey", vkey, ...known, ...since] };
    });
}

async function casesOf(lab: Lab, story: BundleStory): Promise<readonly EvidenceCase[]> {
  const { vkey, bundleText } = story;
  const bundle = join(lab.scratch, "trust-bundle.json");
  writeFileSync(bundle, bundleText);
  const known = ["--vkey", vkey, "--bundle", bundle];
  const agent = await story.make(`agent=${story.agentId}`);
  const range = await story.make("since=2020-01-01T00:00:00Z");
  const { serverSigner } = await openKeys(story.server.home);
  const key = manifestKeyOf(agent, serverSigner);
  const fingerprint = createHash("sha256").update(rootOf(bundleText)).digest("hex");
  const sound = [
    { name: "an event", bytes: await story.make(`event=${story.eventId}`) },
    { name: "a refused event", bytes: await story.make(`event=${story.deniedId}`) },
    { name: "an agent", bytes: agent },
    { name: "its parent with all below", bytes: await story.make(`agent=${story.parent.answer.agent_id}`) },
    { name: "a job", bytes: await story.make(`job=${STORY_JOB}`) },
    { name: "a time range", bytes: range },
  ].map((one): EvidenceCase => ({ ...one, expected: 0, anchors: known }));
  const byRoot = (root: string) => ["--vkey", vkey, "--root", root];
  const refused = (forgeries: readonly Forgery[]) =>
    forgeries.map((one): EvidenceCase => ({ ...one, expected: 1, anchors: known }));
  return [
    ...sound,
    { name: "an agent, by a root's fingerprint", bytes: agent, expected: 0, anchors: byRoot(fingerprint) },
    { name: "an agent, by another root", bytes: agent, expected: 1, anchors: byRoot("00".repeat(32)) },
    {
      name: "an agent, of another log",
      bytes: agent,
      expected: 1,
      anchors: ["--vkey", otherKey(vkey), ...known.slice(2)],
    },
    {
      name: "an agent's second event left out",
      bytes: withoutSecondIntent(agent, key),
      expected: 3,
      anchors: known,
    },
    ...refused([
      { name: "an entry of a range left out", bytes: withoutOneEntry(range, key) },
      { name: "an event of a range shown to nobody", bytes: withHiddenEvent(range, key) },
      { name: "a gap, under the name of another trust domain", bytes: underAnotherDomain(agent, key) },
    ]),
    ...refused(flippedBytes(agent, FLIPS).filter((_, index) => index < FLIPS || index % 12 === 0)),
    // One file of each kind: of entries and proofs every fourth.
    ...refused(
      flippedFiles(agent).filter(({ name }, index) => !/^(entries|proofs)/.test(name) || index % 4 === 0),
    ),
    ...refused(brokenArchives(agent)),
    ...refused(operatorForgeries(agent, key)),
    ...witnessedCases(lab, { story, agent, key, anchors: known.slice(2) }),
  ];
}

/** A checkpoint with a cosignature counts under a policy that asks for it, and not once the line is taken off. */
function witnessedCases(
  lab: Lab,
  {
    story,
    agent,
    key,
    anchors,
  }: {
    readonly story: BundleStory;
    readonly agent: Uint8Array;
    readonly key: ManifestKey;
    readonly anchors: readonly string[];
  },
): readonly EvidenceCase[] {
  const note = parseUtf8(openEvidenceBundle(agent).files.get("checkpoint") ?? new Uint8Array());
  const witness = createWitness("witness.example/w1");
  const policy = join(lab.scratch, "policy.txt");
  const lines = [`log ${story.vkey}`, `witness w1 ${witness.vkey}`, "group all 1 w1", "quorum all"];
  writeFileSync(policy, `# who counts\n${lines.join("\n")}\n`);
  const under = ["--policy", policy, ...anchors];
  const cosigned = note + witness.cosign(note);
  const stale = note + witness.cosign(note.replace(/\n\d+\n/, "\n1\n"));
  return [
    { name: "cosigned", bytes: withCheckpoint(agent, key, cosigned), expected: 0, anchors: under },
    { name: "the cosignature taken off", bytes: agent, expected: 1, anchors: under },
    {
      name: "a cosignature of another tree",
      bytes: withCheckpoint(agent, key, stale),
      expected: 1,
      anchors: under,
    },
  ];
}

/** A ledger that has turned to its next shard, and forged, hidden and misplaced shards. */
async function shardedCases(lab: Lab, story: ShardedStory): Promise<readonly EvidenceCase[]> {
  const bundle = join(lab.scratch, "sharded-bundle.json");
  writeFileSync(bundle, story.bundleText);
  const under = (vkey: string) => ["--vkey", vkey, "--bundle", bundle];
  const range = await story.make("since=2020-01-01T00:00:00Z");
  const event = await story.make(`event=${story.bridged}`);
  const key = manifestKeyOf(range, (await openKeys(story.server.home)).serverSigner);
  const [known, forged] = [under(story.vkey), under(forgersVkey(story.vkey))];
  const witness = createWitness("witness.example/w2");
  const policy = join(lab.scratch, "sharded-policy.txt");
  writeFileSync(policy, `log ${story.vkey}\nwitness w2 ${witness.vkey}\nquorum w2\n`);
  const witnessed = ["--policy", policy, "--bundle", bundle];
  const isOfEvents = ({ name }: Forgery) => !/range/.test(name);
  const refused = (anchors: readonly string[], forgeries: readonly Forgery[]) =>
    forgeries.map((one): EvidenceCase => ({ ...one, expected: 1, anchors }));
  return [
    { name: "an event over two shards", bytes: event, expected: 0, anchors: known },
    {
      name: "a job over two shards",
      bytes: await story.make(`job=${STORY_JOB}`),
      expected: 0,
      anchors: known,
    },
    { name: "a range over two shards", bytes: range, expected: 3, anchors: known },
    {
      name: "shards of another log with the same words",
      bytes: relogged(event, key),
      expected: 0,
      anchors: forged,
    },
    { name: "the same under our key", bytes: relogged(event, key), expected: 1, anchors: known },
    {
      name: "two shards, each cosigned",
      bytes: cosignedShards(event, key, () => witness.cosign),
      expected: 0,
      anchors: witnessed,
    },
    {
      name: "two shards, only the older of which is cosigned",
      bytes: cosignedShards(event, key, (first) => (first === 0 ? witness.cosign : () => "")),
      expected: 1,
      anchors: witnessed,
    },
    {
      name: "two shards, only the newer of which is cosigned",
      bytes: cosignedShards(event, key, (first) => (first > 0 ? witness.cosign : () => "")),
      expected: 1,
      anchors: witnessed,
    },
    ...refused(known, shardForgeries(range, key)),
    ...refused(known, shardForgeries(event, key).filter(isOfEvents)),
    ...refused(known, [
      { name: "an event of two shards shown to nobody", bytes: withHiddenEvent(range, key) },
    ]),
    ...refused(forged, [...hiddenShardForgeries(range, key), ...hiddenShardForgeries(event, key)]),
    { name: "an event behind a change of key", bytes: rekeyed(event, key), expected: 0, anchors: forged },
    { name: "a range behind a change of key", bytes: rekeyed(range, key), expected: 3, anchors: forged },
    ...refused(forged, [...keyForgeries(range, key), ...keyForgeries(event, key)]),
  ];
}

/** A witness with a key of its own, by C2SP tlog-cosignature. */
function createWitness(name: string) {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ type: "spki", format: "der" }).subarray(-32);
  const typed = Buffer.concat([Buffer.of(4), raw]);
  const id = createHash("sha256").update(`${name}\n`).update(typed).digest().subarray(0, 4);
  return {
    vkey: `${name}+${id.toString("hex")}+${typed.toString("base64")}`,
    cosign: (note: string): string => {
      const at = Math.floor(Date.now() / 1000);
      const body = note.slice(0, note.lastIndexOf("\n\n") + 1);
      const time = Buffer.alloc(8);
      time.writeBigUInt64BE(BigInt(at));
      const signature = sign(null, Buffer.from(`cosignature/v1\ntime ${at}\n${body}`), privateKey);
      return `\u2014 ${name} ${Buffer.concat([id, time, signature]).toString("base64")}\n`;
    },
  };
}

/** A key that nobody has signed with, under the log's name. */
function otherKey(vkey: string): string {
  const name = vkey.slice(0, vkey.indexOf("+"));
  const { publicKey } = generateKeyPairSync("ed25519");
  const typed = Buffer.concat([
    Buffer.of(1),
    publicKey.export({ type: "spki", format: "der" }).subarray(-32),
  ]);
  const id = createHash("sha256").update(`${name}\n`).update(typed).digest("hex").slice(0, 8);
  return `${name}+${id}+${typed.toString("base64")}`;
}

function rootOf(bundleText: string): Buffer {
  const { keys } = JSON.parse(bundleText);
  const [root] = keys.filter(({ use }: { readonly use: string }) => use === "x509-svid");
  return Buffer.from(String(root.x5c[0]), "base64");
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}
