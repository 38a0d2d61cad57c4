/** Opens the configured sinks on the server's ledger; each goes on where it ended. */
import { readFileSync } from "node:fs";
import { EventStream } from "@trustwarden/core/agentledger/event-stream.ts";
import { parseRecord } from "@trustwarden/core/agentledger/record.ts";
import { parseBase64, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { formatThumbprint } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { ControlRecord } from "@trustwarden/core/event.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import type { EventLog } from "../http/services.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { digestOfEntry } from "../ledger/tail.ts";
import type { Cleanup } from "../parts.ts";
import type { SharedLedger } from "../shared/open-shared-log.ts";
import { readPrivateFile } from "../signer/private-file.ts";
import { pushSecurityEvents } from "../ssf/push.ts";
import { SERVER_VERSION } from "../version.ts";
import type { SinkSettings } from "./config.ts";
import { createCursorFile, createCursorNote } from "./cursor.ts";
import { Sink, type SinkOptions } from "./sink.ts";
import { sendDelivery } from "./syslog.ts";
import { postDelivery } from "./webhook.ts";

const REFUSED = "a sink did not take its events; they are offered again";
const AHEAD =
  "a sink has sent from another ledger than this one and sends nothing more; start with --sink-from <name>=<index>";
const SECRET = /^whsec_([A-Za-z0-9+/]+={0,2})$/;
/** What Standard Webhooks allows. */
const MIN_SECRET_BYTES = 24;
const MAX_SECRET_BYTES = 64;

export interface SinkDeps {
  readonly settings: readonly SinkSettings[];
  /** Places that an operator gives sinks at this start, by their names. */
  readonly sinkFrom: Readonly<Record<string, number>>;
  readonly dataDir: string;
  readonly ledger: Pick<Ledger, "origin" | "log">;
  /** PEM of the server's SVID as it is now. */
  readonly svid: () => { readonly key: string; readonly cert: string };
  /** Unix milliseconds. */
  readonly nowMs: () => number;
  readonly log: EventLog;
  readonly cleanups: Cleanup[];
  /** Of security events: who says them, and with which key. */
  readonly issuer: string;
  readonly signer: Signer;
  /** Where several servers share the ledger: one of them sends, from the place that all of them know. */
  readonly shared: Pick<SharedLedger, "notes" | "duties" | "log"> | null;
}

/**
 * @throws TrustWardenError `config_invalid` for a secret that is none, and for a place of no sink or beyond the ledger; what
 *   reading the files fails with.
 */
export async function openSinks(deps: SinkDeps): Promise<void> {
  const { ledger, cleanups, shared } = deps;
  if (deps.settings.length === 0 && Object.keys(deps.sinkFrom).length === 0) return;
  await placeSinks(deps, ledger.log.publishedSize());
  if (shared === null) {
    cleanups.push(startSinks(deps));
    return;
  }
  cleanups.push(() => shared.duties.end());
  await shared.duties.add(async () => startSinks(deps));
}

/** @returns how to end them. */
function startSinks(deps: SinkDeps): () => Promise<void> {
  const { ledger, log, settings: all } = deps;
  const size = () => ledger.log.publishedSize();
  const stream = new EventStream(ledger.log);
  const sinks = all.map((settings) => {
    return new Sink({
      name: settings.name,
      size,
      read: (range) => stream.read(range),
      cursor: cursorOf(deps, settings.name),
      entryDigest: async (index) => digestOfEntry(await ledger.log.readEntry(index)),
      begin: () => (settings.begin === "now" ? size() : 0),
      deliver: createDelivery(settings, deps),
      onFailure: (facts) =>
        facts.code === "sink_ahead" ? log.error(facts, AHEAD) : log.warn(facts, REFUSED),
    });
  });
  return async () => {
    await Promise.all(sinks.map((sink) => sink.close()));
  };
}

function cursorOf({ dataDir, shared }: SinkDeps, name: string): SinkOptions["cursor"] {
  if (shared === null) return createCursorFile(dataDir, name);
  const { notes, log } = shared;
  return createCursorNote({ notes, name, log });
}

/** Before any sink runs, so that none reads its old place. */
async function placeSinks(deps: SinkDeps, size: number): Promise<void> {
  const { settings, sinkFrom, shared } = deps;
  if (shared !== null) await placeSharedSinks(deps);
  for (const [name, next] of Object.entries(sinkFrom)) {
    const isSinks = settings.some((sink) => sink.name === name);
    if (isSinks && next <= size) await cursorOf(deps, name).write({ next, last: null });
    else
      throw new TrustWardenError("config_invalid", {
        setting: "sinkFrom",
        reason: isSinks ? `the ledger has ${size} entries` : `there is no sink ${name}`,
      });
  }
}

/** A place goes back only where nothing is kept; no other server may be sending meanwhile, which its operator sees to. */
async function placeSharedSinks({ sinkFrom, shared }: SinkDeps): Promise<void> {
  for (const name of Object.keys(sinkFrom)) {
    const kept = await shared?.notes.read("sink", name);
    if (kept !== undefined) await shared?.notes.keep({ kind: "sink", ...kept, body: null });
  }
}

function createDelivery(settings: SinkSettings, deps: SinkDeps): SinkOptions["deliver"] {
  const { ledger, svid, nowMs } = deps;
  const source = { origin: ledger.origin, version: SERVER_VERSION };
  const ca = settings.caFile === undefined ? {} : { ca: readFileSync(settings.caFile, "utf8") };
  // The SVID is asked for each time: it is renewed while the server runs.
  const tls = () => ({ ...ca, ...(settings.svid ? { key: svid().key, cert: svid().cert } : {}) });
  if (settings.kind === "syslog")
    return (delivery, signal) => sendDelivery({ settings, source, tls: tls() }, delivery, signal);
  if (settings.kind === "ssf") {
    const { issuer, signer } = deps;
    const parties = { issuer, signer, audience: settings.audience, kid: formatThumbprint(signer.publicKey) };
    const readControl = async (index: number) => controlOf(await ledger.log.readEntry(index));
    return ({ events }, signal) =>
      pushSecurityEvents({ settings, parties, readControl, tls: tls(), nowMs }, events, signal);
  }
  const secret = settings.secretFile === undefined ? null : readSecret(settings.secretFile);
  return (delivery, signal) =>
    postDelivery({ settings, source, secret, tls: tls(), nowMs }, delivery, signal);
}

function controlOf(entry: Uint8Array): ControlRecord | undefined {
  const { unverified } = parseRecord(entry);
  return unverified.kind === "control" ? unverified.value : undefined;
}

function readSecret(path: string): Uint8Array {
  const base64 = SECRET.exec(parseUtf8(readPrivateFile(path)).trim())?.[1];
  const secret = base64 === undefined ? new Uint8Array(0) : parseBase64(base64);
  if (secret.length < MIN_SECRET_BYTES || secret.length > MAX_SECRET_BYTES)
    throw new TrustWardenError("config_invalid", {
      field: "secretFile",
      reason: "whsec_ and base64 of 24 to 64 bytes",
    });
  return secret;
}
