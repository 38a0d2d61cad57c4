/** I3: two histories for two clients. */
import { once } from "node:events";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { formatSubmission } from "@trustwarden/core/agentledger/add-checkpoint.ts";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { verifyWitnessedCheckpoint } from "@trustwarden/core/agentledger/cosignature.ts";
import { proveConsistency } from "@trustwarden/core/agentledger/prover.ts";
import { parseTlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import { originHash } from "@trustwarden/core/agentledger/witness.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { PosixLogReader } from "../../server/store/posix-log.ts";
import { jsonOf, send } from "../../test/support/http.ts";
import { createHome, TRUST_DOMAIN } from "../../test/support/server.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { appendAsOperator } from "../support/history.ts";
import type { World } from "../support/world.ts";

/** By so much the second history is longer than what the witness knows. */
const MORE_ENTRIES = 2;
const PATIENCE_MS = 60_000;

/** A witness that the operator does not run, as a process of its own. */
async function startWitness(world: World, { root, vkey }: { readonly root: string; readonly vkey: string }) {
  const directory = join(root, "witness");
  const env = { HOME: root };
  const init = ["cli/main.ts", "witness", "init", directory, "--name", "witness.test/1"];
  expectSame((await world.run({ args: init, env })).exitCode, 0, "the witness");
  const serve = ["cli/main.ts", "witness", "serve", directory, "--log", vkey, "--listen", "127.0.0.1:0"];
  const { ready } = await world.launch({ args: serve, env });
  const policyFile = join(root, "witness.policy");
  writeFileSync(policyFile, `log ${vkey}\nwitness w ${ready.vkey} ${ready.url}\nquorum w\n`);
  return { url: String(ready.url), policyFile };
}

/** Everything so far is witnessed; what the first client sees. */
async function readWitnessed(world: World, vkey: string): Promise<string> {
  const read = async (name: string) => (await send(world.server.url, { target: `/ledger/${name}` })).text;
  const { size } = verifyCheckpoint(await read("checkpoint"), vkey);
  const deadline = performance.now() + PATIENCE_MS;
  while (performance.now() < deadline) {
    const note = await read("witnessed-checkpoint");
    if (note.startsWith("ledger.") && verifyCheckpoint(note, vkey).size >= size) return note;
    await setTimeout(50);
  }
  throw new Error("nothing is witnessed");
}

/** One look of a monitor that knows two addresses of the log. */
async function watch(
  world: World,
  { other, evidence }: { readonly other: readonly string[]; readonly evidence: string },
) {
  const state = `${evidence}.json`;
  const places = ["--state", state, "--evidence", evidence, ...other.flatMap((url) => ["--compare", url])];
  const { exitCode, output } = await world.warden("monitor", "--once", "--json", ...places);
  return { exitCode, output };
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "I3",
  title: "shows two histories, both under the log's key, to two clients",
  expected:
    "no witness cosigns the second one, so no client takes it for proven; a monitor keeps both signed notes",
  weakening: "witness-takes-any-history",
  mayChange: [],
  prepare: async (world) => {
    const honest = await world.another();
    const root = join(honest.home.dataDir, "..");
    const discovered = jsonOf(await send(honest.server.url, { target: "/.well-known/trustwarden" }));
    const vkey = String(discovered.log_vkey);
    await honest.child.stop();
    const fork = world.unopened({}, [], createHome());
    for (const name of ["dataDir", "configDir"] as const) {
      mkdirSync(fork.home[name], { recursive: true, mode: 0o700 });
      cpSync(honest.home[name], fork.home[name], {
        recursive: true,
        filter: (path) => !path.endsWith(".sock"),
      });
    }
    const witness = await startWitness(world, { root, vkey });
    const witnesses = { policyFile: witness.policyFile, intervalMs: 50 };
    await honest.start({ configure: () => ({ witnesses }) });
    await honest.owner();
    return { honest, fork, vkey, witness, root };
  },
  control: async (_world, { honest, vkey, witness, root }) => {
    const note = await readWitnessed(honest, vkey);
    const policy = parseTlogPolicy(readFileSync(witness.policyFile, "utf8"));
    expectSame(
      verifyWitnessedCheckpoint(note, policy).cosignatures.length,
      1,
      "the honest history is proven",
    );
    const { exitCode, output } = await watch(honest, { other: [], evidence: join(root, "control") });
    expectSame(exitCode, 0, `a monitor of the honest log: ${output}`);
  },
  attack: async (_world, { honest, fork, vkey, witness, root }) => {
    let answer = await submitFork(fork, { url: witness.url, vkey });
    // What the honest log published in the meantime only makes the second history stale, not refused.
    for (let again = 0; answer.status === 409 && again < 10; again += 1)
      answer = await submitFork(fork, { url: witness.url, vkey });
    expectSame(answer.status, 422, "what the witness says to the second history");
    const { note } = answer;
    const policy = parseTlogPolicy(readFileSync(witness.policyFile, "utf8"));
    expectSame(
      codeOfRefusal(() => verifyWitnessedCheckpoint(note, policy)),
      "checkpoint_unwitnessed",
      "the second client",
    );
    await requireConvicted(honest, { note, vkey, evidence: join(root, "evidence") });
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "revoke" }, 0);
  },
});

/** Makes the second history longer than what the witness knows, and asks for its cosignature. */
async function submitFork(
  fork: World,
  { url, vkey }: { readonly url: string; readonly vkey: string },
): Promise<{ readonly status: number; readonly note: string }> {
  const known = await (await fetch(`${url}/${originHash(`ledger.${TRUST_DOMAIN}`)}/checkpoint`)).text();
  const oldSize = verifyCheckpoint(known, vkey).size;
  const reader = new PosixLogReader(join(fork.home.dataDir, "ledger"));
  const before = verifyCheckpoint((await reader.readCheckpoint()) ?? "", vkey).size;
  const count = Math.max(1, oldSize - before + MORE_ENTRIES);
  const entries = Array.from({ length: count }, (_, index) => encodeUtf8(`second history ${index}`));
  await appendAsOperator(fork, entries);
  const note = (await reader.readCheckpoint()) ?? "";
  const head = verifyCheckpoint(note, vkey);
  expect(head.size > oldSize, "the second history is the longer one");
  const proof = await proveConsistency(reader, { oldSize, newSize: head.size, head });
  const body = formatSubmission({ oldSize, proof, checkpoint: note });
  const { status } = await fetch(`${url}/add-checkpoint`, { method: "POST", body });
  return { status, note };
}

/** Whoever sees both addresses has the proof, signed twice by the log. */
async function requireConvicted(
  honest: World,
  { note, vkey, evidence }: { readonly note: string; readonly vkey: string; readonly evidence: string },
): Promise<void> {
  // The honest log has to be as long as the second history before the two can be compared.
  const { size } = verifyCheckpoint(note, vkey);
  for (let at = 0; at < size; at = verifyCheckpoint(await readWitnessed(honest, vkey), vkey).size)
    await honest.enrol(["read:transactions"]);
  const mirror = createServer((_request, response) => response.end(note)).listen(0, "127.0.0.1");
  try {
    await once(mirror, "listening");
    const address = mirror.address();
    if (address === null || typeof address === "string") throw new Error("it listens on a port");
    const { exitCode, output } = await watch(honest, {
      other: [`http://127.0.0.1:${address.port}`],
      evidence,
    });
    expectSame(exitCode, 3, `a monitor that sees both: ${output}`);
  } finally {
    mirror.closeAllConnections();
    mirror.close();
  }
  const [folder = ""] = readdirSync(evidence);
  const notes = ["1.note", "2.note"].map((name) => readFileSync(join(evidence, folder, name), "utf8"));
  for (const kept of notes) verifyCheckpoint(kept, vkey);
  expect(notes[0] !== notes[1], "both signed notes are kept");
}

function codeOfRefusal(run: () => unknown): string {
  try {
    run();
    return "none";
  } catch (error) {
    return error instanceof TrustWardenError ? error.code : String(error);
  }
}
