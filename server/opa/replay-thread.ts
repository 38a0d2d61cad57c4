/**
 * The thread of one replay: parses logged decisions and asks the draft about each. It has no environment and reads no
 * file; what it is not told it does not know. It is ended when it is slow, so nothing here waits.
 */
import { parentPort, workerData } from "node:worker_threads";
import { parseRecord } from "@trustwarden/core/agentledger/record.ts";
import { replayDecision, type UnseeingEngine } from "@trustwarden/core/agentscope/replay.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import type { LoggedDecision, ReplayedDecision } from "./ports.ts";
import type { FromReplay, ReplayThreadData } from "./replay-protocol.ts";
import { createUnseeingEngine } from "./unseeing-wasm.ts";
import { createWasmEngine, type WasmEngine } from "./wasm.ts";

/** The rule that a custom policy answers with. */
const RESULT = "custom/result";

start(workerData);

function start({ draft: { wasm, data, name }, builtin: material, hostBuiltins }: ReplayThreadData): void {
  const port = requirePort();
  const send = (message: FromReplay) => port.postMessage(message);
  try {
    const draft = createUnseeingEngine({ wasm, data, name, entrypoint: RESULT, hostBuiltins });
    const document = parseJsonObject(parseUtf8(material.data), material.data.length + 1);
    const builtin = createWasmEngine({ wasmPath: material.wasm, data: document });
    port.on("message", (asked: readonly LoggedDecision[]) =>
      send({ kind: "done", replayed: asked.map((logged) => replayLogged(logged, { draft, builtin })) }),
    );
    send({ kind: "ready", policySha256: draft.policy.bundleSha256 });
  } catch (error) {
    if (!(error instanceof TrustWardenError)) throw error;
    send({ kind: "failed", code: error.code });
  }
}

function replayLogged(
  { entries, selectors }: LoggedDecision,
  engines: { readonly draft: UnseeingEngine; readonly builtin: WasmEngine },
): ReplayedDecision | null {
  const bodies = entries.map((entry) => parseRecord(entry).unverified);
  const asked = bodies.find(({ kind }) => kind === "intent" || kind === "presented-intent");
  const decided = bodies.find(({ kind }) => kind === "decision");
  if (asked === undefined || decided?.kind !== "decision") return null;
  if (asked.kind !== "intent" && asked.kind !== "presented-intent") return null;
  const { value: intent } = asked;
  const { value: decision } = decided;
  return {
    outcome: replayDecision({ intent, decision, selectors }, engines),
    event: {
      event_id: intent.event_id,
      timestamp: intent.time,
      agent_id: intent.agent.id,
      agent_identity: intent.agent.spiffe_id,
      action: intent.action,
      resource: intent.resource,
      reasons_before: decision.reasons,
    },
  };
}

function requirePort(): NonNullable<typeof parentPort> {
  if (parentPort === null) throw new Error("a replay runs in a worker thread");
  return parentPort;
}
