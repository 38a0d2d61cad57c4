/**
 * Torchwood's `litewitness`, a witness that nobody here wrote: the whole matrix of what it may refuse, by our client;
 * and a real server whose growing ledger it cosigns, from shard to shard, whose restored backup it stops, and whose
 * fork it never cosigns. What it cosigned, torchwood's `VerifyProof` proves under the server's own policy.
 */
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { formatTlogProof } from "@trustwarden/core/agentledger/tlog-proof.ts";
import { discovery, eventAnswer, eventPage, statusAnswer, turnAnswer } from "@trustwarden/core/api/ledger.ts";
import { encodeUtf8, parseBase64 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { createOwner, parseAnswer } from "../../test/support/actors.ts";
import { send, sendAdmin } from "../../test/support/http.ts";
import { createHome, startTestServer, type TestHome, type TestServer } from "../../test/support/server.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "../judge.ts";
import { askTorchwood, type ProvenClaim } from "../stranger-proofs.ts";
import { requireTlogTools, type TlogTools } from "../tools.ts";
import { judgeMatrix } from "./matrix.ts";
import { type Litewitness, startLitewitness } from "./witness.ts";

/** For a few checkpoints on a busy machine. */
const PATIENCE_MS = 60_000;
const POLL_MS = 50;
/** An owner is an entry at least: more than the witness saw since the copy. */
const FORK_OWNERS = 12;
const COSIGNATURE = /^\u2014 witness\.judge\.test\/1 .*\n/gm;

export const litewitnessJudge: Judge = { name: "litewitness (torchwood 0.9.0)", run: judgeLitewitness };

async function judgeLitewitness(lab: Lab): Promise<Findings> {
  const tools = await requireTlogTools(lab);
  const folder = join(lab.scratch, "litewitness");
  mkdirSync(folder, { recursive: true });
  const witness = await startLitewitness(tools, { folder, name: "witness.judge.test/1" });
  try {
    const matrix = countVerdicts(await judgeMatrix(witness));
    const server = await judgeServer({ lab, tools, witness });
    return {
      accepted: matrix.accepted + server.accepted,
      refused: matrix.refused + server.refused,
      wrong: [...matrix.wrong, ...server.wrong],
      note: `answers ${[...witness.answers].map(([status, count]) => `${status}: ${count}`).join(", ")}`,
    };
  } finally {
    await witness.stop();
  }
}

/** A server, and the one witness of its policy. */
class WitnessedServer {
  readonly #home: TestHome = createHome();
  readonly #policyFile: string;
  #server: TestServer | null = null;

  constructor(folder: string, { vkey, url }: Litewitness) {
    this.#policyFile = join(folder, "server.policy");
    writeFileSync(this.#policyFile, `witness lite ${vkey} ${url}\nquorum lite\n`);
  }

  get #live(): TestServer {
    if (this.#server === null) throw new Error("the server is started");
    return this.#server;
  }

  /** @param settings - what it is told of witnesses. */
  async start(settings: "witnessed" | "alone"): Promise<void> {
    const witnesses = { policyFile: this.#policyFile, intervalMs: 20, timeoutMs: 5000 };
    this.#server = await startTestServer(settings === "alone" ? {} : { witnesses }, this.#home);
  }

  async stop(): Promise<void> {
    await this.#server?.close();
    this.#server = null;
  }

  async remove(): Promise<void> {
    await this.stop();
    this.#home.remove();
  }

  /** Data and configuration, the mark kept elsewhere included, to a folder or back from it. */
  copy(direction: "save" | "restore", folder: string): void {
    const root = join(this.#home.dataDir, "..");
    for (const name of ["data", "config"]) {
      const [from, to] = direction === "save" ? [root, folder] : [folder, root];
      rmSync(join(to, name), { recursive: true, force: true });
      const filter = (path: string) => !path.endsWith(".sock");
      cpSync(join(from, name), join(to, name), { recursive: true, filter });
    }
  }

  async vkey(): Promise<string> {
    return parseAnswer(discovery, await send(this.#live.url, { target: "/.well-known/trustwarden" }))
      .log_vkey;
  }

  async read(target: string): Promise<string> {
    return (await send(this.#live.url, { target })).text;
  }

  /** Entries that the ledger has, and how far of them are witnessed. */
  async ledger() {
    return parseAnswer(statusAnswer, await sendAdmin(this.#live.adminSocket, { target: "/v1/status" }))
      .ledger;
  }

  async grow(owner: string): Promise<void> {
    await createOwner(this.#live, owner);
  }

  async turn() {
    const asked = { method: "POST", target: "/v1/ledger/turns", body: "{}" };
    return parseAnswer(turnAnswer, await sendAdmin(this.#live.adminSocket, asked));
  }

  /** The newest event about an owner, as proofs under the witnessed checkpoint. */
  async prove(): Promise<{ readonly checkpoint: string; readonly claims: readonly ProvenClaim[] }> {
    const target = "/v1/events?kind=owner&limit=1";
    const [event] = parseAnswer(eventPage, await sendAdmin(this.#live.adminSocket, { target })).events;
    const one = { target: `/v1/events/${event?.event_id}` };
    const { records, checkpoint, shards } = parseAnswer(
      eventAnswer,
      await sendAdmin(this.#live.adminSocket, one),
    );
    const claims = records.map(({ index, entry, inclusion_proof: hashes }) => {
      const place = index - (shards.at(-1)?.first ?? 0);
      const proof = formatTlogProof({ index: place, proof: hashes.map(parseBase64), checkpoint });
      return { index, entry: encodeUtf8(entry), proof };
    });
    return { checkpoint, claims };
  }
}

async function judgeServer(setting: {
  readonly lab: Lab;
  readonly tools: TlogTools;
  readonly witness: Litewitness;
}): Promise<Findings> {
  const { lab, witness } = setting;
  const server = new WitnessedServer(lab.scratch, witness);
  const [backup, newest] = [join(lab.scratch, "backup"), join(lab.scratch, "newest")];
  const verdicts: Verdict[] = [];
  const note = (name: string, expected: Verdict["expected"], isRight: boolean, said = "") =>
    verdicts.push({ name, expected, isAccepted: isRight === (expected === "accept"), said });
  try {
    await server.start("alone");
    const vkey = await server.vkey();
    await server.stop();
    note(
      "a start before it follows the log (28)",
      "refuse",
      (await codeOfStart(server)) === "witnesses_unreachable",
    );
    witness.follow(vkey);
    await server.start("witnessed");
    await server.grow("alice");
    note("a growing ledger is cosigned", "accept", await isWitnessed(server));
    const first = await askUnderPolicy(setting, server, vkey);
    await server.stop();
    server.copy("save", backup);
    await server.start("witnessed");
    await server.grow("bob");
    note("the same after a restart", "accept", await isWitnessed(server));
    await server.stop();
    server.copy("save", newest);
    server.copy("restore", backup);
    note("a restored backup (45)", "refuse", (await codeOfStart(server)) === "data_rolled_back");
    note("a fork that outgrew it (26)", "refuse", await isForkUnwitnessed(server, witness));
    server.copy("restore", newest);
    await server.start("witnessed");
    note("the newest copy again", "accept", await isWitnessed(server));
    const { shard, origin } = await server.turn();
    witness.follow(await vkeyOfShard(server, vkey, origin));
    await server.grow("carol");
    note(`the next shard, ${shard}, once it was told of it`, "accept", await isWitnessed(server));
    const second = await askUnderPolicy(setting, server, await vkeyOfShard(server, vkey, origin));
    const own = countVerdicts(verdicts);
    return {
      accepted: own.accepted + first.accepted + second.accepted,
      refused: own.refused + first.refused + second.refused,
      wrong: [...own.wrong, ...first.wrong, ...second.wrong],
    };
  } finally {
    await server.remove();
  }
}

async function codeOfStart(server: WitnessedServer): Promise<string> {
  try {
    await server.start("witnessed");
    await server.stop();
    return "started";
  } catch (error) {
    if (!(error instanceof TrustWardenError)) throw error;
    return error.code;
  }
}

/** Whether everything that is in the ledger now comes to be witnessed. */
async function isWitnessed(server: WitnessedServer): Promise<boolean> {
  const { size } = await server.ledger();
  return waitFor(async () => ((await server.ledger()).witnessed_size ?? 0) >= size);
}

/** A copy that went on by itself until it is longer than what the witness saw: it starts, and nothing of it is cosigned. */
async function isForkUnwitnessed(server: WitnessedServer, { answers }: Litewitness): Promise<boolean> {
  await server.start("alone");
  for (let made = 0; made < FORK_OWNERS; made += 1) await server.grow(`mallory-${made}`);
  await server.stop();
  const [refused, cosigned] = [answers.get(422) ?? 0, answers.get(200) ?? 0];
  await server.start("witnessed");
  // Refused more than once: the first time, and when it is tried again.
  const isRefused = await waitFor(async () => (answers.get(422) ?? 0) >= refused + 2);
  await server.stop();
  return isRefused && (answers.get(200) ?? 0) === cosigned;
}

/** Torchwood's verdict on the newest event under the server's own policy; and without the cosignature (33, 34). */
async function askUnderPolicy(
  { lab, tools }: { readonly lab: Lab; readonly tools: TlogTools },
  server: WitnessedServer,
  vkey: string,
): Promise<Findings> {
  const policy = (await server.read("/ledger/witness-policy")).replace(/^log .*$/m, `log ${vkey}`);
  const { claims, checkpoint } = await server.prove();
  verifyCheckpoint(checkpoint, vkey);
  const broken = claims.map((claim) => ({ ...claim, proof: claim.proof.replaceAll(COSIGNATURE, "") }));
  return askTorchwood({ lab, tools, policy, claims, broken });
}

/** A shard's key is the ledger's under another name: the server shows it where the shard is listed. */
async function vkeyOfShard(server: WitnessedServer, vkey: string, origin: string): Promise<string> {
  const { shards } = JSON.parse(await server.read("/ledger/shards"));
  const found = shards.find((shard: { readonly origin: string }) => shard.origin === origin);
  if (typeof found?.vkey !== "string" || found.vkey === vkey) throw new Error("the shard is listed");
  return found.vkey;
}

async function waitFor(condition: () => Promise<boolean>): Promise<boolean> {
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; ) {
    if (await condition()) return true;
    await setTimeout(POLL_MS);
  }
  return false;
}
