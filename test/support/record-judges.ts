/** Answers the questions about what an SDK signs and shows while it acts, as the TypeScript one does. */
import { parseBase64 } from "@trustwarden/core/bytes.ts";
import { parseP256PublicKey } from "@trustwarden/core/crypto.ts";
import { formatParamsCommitment, formatRequestCommitment } from "@trustwarden/core/intent.ts";
import type { Json } from "@trustwarden/core/json.ts";
import { z } from "zod";
import { verifyBroughtCall } from "../../sdk/brought-call.ts";
import { openDeliveredKey } from "../../sdk/instance-key.ts";
import { IntentWriter } from "../../sdk/intent-writer.ts";
import { issueOutcome } from "../../sdk/outcome.ts";
import { systemRuntime } from "../../sdk/runtime.ts";
import { openedBy } from "./opened-envelope.ts";

const bytes = z.string().transform((text) => parseBase64(text));
const draft = z.object({
  action: z.string(),
  resource: z.string(),
  request: z.string().nullable(),
  params: z.string().nullable(),
  audience: z.string(),
  job: z.string().nullable(),
});
const intentsShape = z.object({
  key: bytes,
  agent_id: z.string(),
  spiffe_id: z.string(),
  svid_sha256: z.string(),
  seen: z.object({ origin: z.string(), size: z.number(), root: z.string() }).nullable(),
  drafts: z.array(draft),
});
const outcomeShape = z.object({
  key: bytes,
  keyid: z.string(),
  receipt: z.object({ event_id: z.string(), intent_sha256: z.string(), decision_index: z.number() }),
  status: z.enum(["success", "failure", "aborted"]),
  bytes: z.number(),
  ms: z.number(),
});
const callShape = z.object({
  gateway: z.string(),
  method: z.string(),
  target: z.string(),
  body: bytes,
  headers: z.record(z.string(), z.string().nullable()),
  server_sha256: z.string(),
  server_spki: bytes,
  log_vkey: z.string(),
  now: z.number(),
});

/** By the name of the check. */
export const RECORD_JUDGES: Readonly<Record<string, (input: unknown) => Json>> = {
  intents_written: judgeIntents,
  params_commitment: (input) => {
    const { params, salt } = z.object({ params: z.record(z.string(), z.json()), salt: bytes }).parse(input);
    return formatParamsCommitment(params, salt);
  },
  request_commitment: (input) => {
    const shape = z.object({ method: z.string(), target: z.string(), body: bytes, salt: bytes });
    const { salt, ...request } = shape.parse(input);
    return formatRequestCommitment(request, salt);
  },
  outcome_written: (input) => {
    const { key, keyid: named, receipt, status, bytes: size, ms } = outcomeShape.parse(input);
    const { signer } = openDeliveredKey(key).key;
    const whole = { ...receipt, decision: "", acknowledgement: "" };
    const finished = { receipt: whole, status, bytes: size, durationMs: ms, nowMs: systemRuntime.nowMs() };
    const { keyid, payload } = openedBy(issueOutcome(finished, signer, named), "outcome", signer.publicKey);
    const { time: _time, ...signed } = payload;
    return { keyid, signed };
  },
  brought_call: (input) => {
    const { gateway, method, target, body, headers, ...by } = callShape.parse(input);
    const { server_sha256, server_spki, log_vkey, now } = by;
    const shown = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, value ?? undefined]),
    );
    const { intent, decision } = verifyBroughtCall(
      { gateway, request: { method, target, body }, headers: shown },
      {
        server: { sha256: server_sha256, publicKey: parseP256PublicKey(server_spki) },
        logVkey: log_vkey,
        nowMs: now * 1000,
      },
    );
    return { event_id: decision.event_id, action: intent.action };
  },
};

/** `prev` is said in words: the one before is signed at another moment each time. */
function judgeIntents(input: unknown): Json {
  const { key, agent_id, spiffe_id, svid_sha256, seen, drafts } = intentsShape.parse(input);
  const { signer } = openDeliveredKey(key).key;
  const writer = new IntentWriter({ agentId: agent_id, runtime: systemRuntime, seen: () => seen });
  let before: string | null = null;
  return drafts.map((one): Json => {
    const written = writer.sign(one, { spiffeId: spiffe_id, svidSha256: svid_sha256, signer });
    const { keyid, payload } = openedBy(written.envelope, "intent", signer.publicKey);
    const { event_id: _id, time, exp, prev, ...signed } = payload;
    const follows = before !== null && prev === before;
    before = written.payloadSha256;
    const lasts = Number(exp) - Math.floor(Date.parse(String(time)) / 1000);
    return { keyid, lasts, signed: { ...signed, prev: follows ? "of the one before" : (prev ?? null) } };
  });
}
