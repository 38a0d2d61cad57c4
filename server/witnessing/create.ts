/** Puts the witnesses of a configuration together, and asks them before the server goes on. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  isQuorum,
  needsWitnesses,
  type PolicyWitness,
  parseTlogPolicy,
  type TlogPolicy,
} from "@trustwarden/core/agentledger/tlog-policy.ts";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { readFileIfAny, replaceFile } from "../store/posix-log-files.ts";
import type { WitnessSettings } from "./config.ts";
import { WitnessFollower } from "./follower.ts";
import type { WitnessedLogSource } from "./own-history.ts";
import { requireNewest } from "./require-newest.ts";
import { createWitnessClient } from "./witness-client.ts";
import { type WitnessEvent, Witnessing } from "./witnessing.ts";

const FILE = "witnessed-checkpoint";
const LOOPBACK: readonly string[] = ["127.0.0.1", "[::1]", "localhost"];

export interface OpenWitnessingOptions {
  readonly settings: WitnessSettings | undefined;
  readonly dataDir: string;
  readonly log: WitnessedLogSource;
  readonly monoMs: () => number;
  readonly onEvent: (event: WitnessEvent) => void;
  readonly onSilent: (names: readonly string[]) => void;
  readonly onRolledBack: (error: unknown) => void;
  /** Takes how to close it. */
  readonly cleanups: (() => Promise<void> | void)[];
}

/**
 * Asks the configured witnesses whether this log is the newest, and begins to have it cosigned; null without any.
 *
 * @throws TrustWardenError `config_invalid`, `witness_policy_malformed`, `data_rolled_back`, `witnesses_unreachable`.
 */
export async function openWitnessing(options: OpenWitnessingOptions): Promise<Witnessing | null> {
  const { settings, log, dataDir, cleanups } = options;
  if (settings === undefined) return null;
  const { policy, policyText } = readPolicy(settings.policyFile, log.vkey);
  const ended = new AbortController();
  const reachable = policy.witnesses.filter(hasUrl);
  if (settings.plainHttp === "refuse") requireTlsBeyondLoopback(reachable);
  const clients = reachable.map((witness) =>
    createWitnessClient(witness, { timeoutMs: settings.timeoutMs, ended: ended.signal }),
  );
  const { whenSilent } = settings;
  const silent = await requireNewest({ policy, clients, log, whenSilent });
  if (silent.length > 0) options.onSilent(silent);
  const witnessing = new Witnessing({
    ...options,
    policy,
    policyText,
    followers: clients.map((client) => new WitnessFollower(client, log)),
    store: createStore(dataDir),
    intervalMs: settings.intervalMs,
  });
  await witnessing.restore();
  witnessing.start();
  cleanups.push(async () => {
    ended.abort();
    await witnessing.close();
  });
  return witnessing;
}

/** The file's policy for this log; its line is added where it is missing, so that the text is complete for readers. */
function readPolicy(
  file: string,
  vkey: string,
): { readonly policy: TlogPolicy; readonly policyText: string } {
  const given = readFile(file);
  const { logs } = parseTlogPolicy(given);
  const policyText = logs.length === 0 ? `log ${vkey}\n${given}` : given;
  const policy = parseTlogPolicy(policyText);
  if (!policy.logs.some((log) => log.vkey === vkey)) throw invalid("the policy is for another log");
  if (!needsWitnesses(policy)) throw invalid("the policy asks for no witness");
  const reachable = policy.witnesses.filter(hasUrl).map(({ name }) => name);
  if (!isQuorum(policy, new Set(reachable))) throw invalid("too few of its witnesses have a URL");
  return { policy, policyText };
}

function readFile(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw invalid("cannot be read", cause);
  }
}

/** By the address and no other name: `localhost.attacker.test` is somebody else's. */
function requireTlsBeyondLoopback(
  witnesses: readonly { readonly name: string; readonly url: string }[],
): void {
  for (const { name, url } of witnesses) {
    const { protocol, hostname } = new URL(url);
    if (protocol !== "https:" && !LOOPBACK.includes(hostname))
      throw invalid(`plain http beyond this machine to witness ${name}; see witnesses.plainHttp`);
  }
}

function invalid(reason: string, cause?: unknown): TrustWardenError {
  return new TrustWardenError("config_invalid", { setting: "witnesses.policyFile", reason }, { cause });
}

function hasUrl(witness: PolicyWitness): witness is PolicyWitness & { readonly url: string } {
  return witness.url !== null;
}

function createStore(dataDir: string) {
  const path = join(dataDir, FILE);
  return {
    read: async () => {
      const bytes = await readFileIfAny(path);
      return bytes === null ? null : parseUtf8(bytes);
    },
    write: (note: string) => replaceFile({ path, temporary: `${path}.new`, bytes: encodeUtf8(note) }),
  };
}
