/** Real witnesses in this process: `warden witness serve` without its command line. */
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { parseVkey } from "@trustwarden/core/agentledger/signed-note.ts";
import type { WitnessedLog } from "@trustwarden/core/agentledger/witness.ts";
import { createWitnessDirectory, openWitnessDirectory } from "../../cli/witness/witness-directory.ts";
import { createWitnessServer } from "../../cli/witness/witness-server.ts";

/** A witness that can be cut off and brought back, at the same address. */
export interface TestWitness {
  readonly vkey: string;
  readonly url: string;
  readonly directory: string;
  /** Logs that it follows once it is started again, by origin. */
  readonly logs: Map<string, WitnessedLog>;
  /** By how much its clock is ahead of this machine's. */
  aheadMs: number;
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** Starts a witness that follows no log yet. */
async function startTestWitness(directory: string, name: string): Promise<TestWitness> {
  const vkey = createWitnessDirectory(directory, name);
  const logs = new Map<string, WitnessedLog>();
  const nowMs = () => Date.now() + witness.aheadMs;
  let running = await serve(directory, { logs, nowMs }, 0);
  const { url, port } = running;
  const witness: TestWitness = {
    vkey,
    url,
    directory,
    logs,
    aheadMs: 0,
    stop: () => running.stop(),
    start: async () => {
      running = await serve(directory, { logs, nowMs }, port);
    },
  };
  return witness;
}

/** Three of them, and the policy file of 2 of 3. */
export async function startTestWitnesses(
  root: string,
): Promise<{ readonly witnesses: readonly TestWitness[]; readonly policyFile: string }> {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const witnesses = await Promise.all(
    [1, 2, 3].map((n) => startTestWitness(join(root, `witness-${n}`), `witness-${n}.test/w`)),
  );
  const policyFile = join(root, "witness.policy");
  const lines = witnesses.map(({ vkey, url }, index) => `witness w${index + 1} ${vkey} ${url}`);
  writeFileSync(policyFile, [...lines, "group most 2 w1 w2 w3", "quorum most", ""].join("\n"));
  return { witnesses, policyFile };
}

/** Has witnesses follow a log: they are started again with its key, as `warden witness serve` would be. */
export async function follow(witnesses: readonly TestWitness[], vkey: string): Promise<void> {
  const key = parseVkey(vkey);
  for (const witness of witnesses) {
    await witness.stop();
    witness.logs.set(key.name, { vkey, key });
    await witness.start();
  }
}

async function serve(
  path: string,
  { logs, nowMs }: { readonly logs: ReadonlyMap<string, WitnessedLog>; readonly nowMs: () => number },
  port: number,
) {
  const directory = openWitnessDirectory(path);
  const server = createWitnessServer({
    directory,
    logs,
    now: () => Math.floor(nowMs() / 1000),
    onEvent: () => undefined,
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const address = server.address() as AddressInfo; // The cast: a TCP server has an address of that form.
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
      directory.store.close();
    },
  };
}
