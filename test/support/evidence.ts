/** A small history on a real server, and the evidence bundles of it. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BundleReport } from "@trustwarden/core/agentledger/verify-bundle.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { parseEnvelope } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { verifyEvidence } from "../../sdk/verify-evidence.ts";
import {
  askDecision,
  createOwner,
  enrolAgent,
  enrolVerifier,
  outcomeOf,
  parseDecision,
  spawn,
  type TestInstance,
  type TestOwner,
  visitIntent,
} from "./actors.ts";
import { jsonOf, send, sendAdmin } from "./http.ts";
import { startTestServer, type TestServer } from "./server.ts";

const VERIFIER = fileURLToPath(new URL("../../server/evidence/verifiers/verify.mjs", import.meta.url));

/** What an auditor is asked about, and what it trusts. */
export interface BundleStory {
  readonly server: TestServer;
  readonly owner: TestOwner;
  readonly parent: TestInstance;
  readonly child: TestInstance;
  readonly verifier: TestInstance;
  /** An allowed action with its outcome. */
  readonly eventId: string;
  /** An action that was refused because the agent had no scope for it. */
  readonly deniedId: string;
  readonly agentId: string;
  readonly vkey: string;
  readonly bundleText: string;
  /** The bundle that the operator asks for. */
  make(query: string): Promise<Buffer>;
  /** Our own verifier's report. */
  verify(bytes: Uint8Array): BundleReport;
}

/** The job of the story's actions. */
export const STORY_JOB = "month-end";

/** An owner, an orchestrator, its child, two actions of the child that went well, one refused, and its revocation. */
export async function createBundleStory(server?: TestServer): Promise<BundleStory> {
  const running = server ?? (await startTestServer());
  const owner = await createOwner(running, "auditee");
  const parent = await enrolAgent(running, owner, { name: "orchestrator" });
  const child = await spawn(running, parent, { name: "payment-agent" });
  const verifier = await enrolVerifier(running);
  const first = await act(running, { agent: child, verifier, seq: 1, prev: null });
  const second = await act(running, { agent: child, verifier, seq: 2, prev: first.payloadSha256 });
  const asked = { agent: child, verifier, seq: 3, prev: second.payloadSha256, action: "delete:transactions" };
  const denied = await act(running, asked);
  const target = { kind: "instance", id: child.answer.instance_id };
  const body = JSON.stringify({ target, reason: "the auditor's example" });
  await sendAdmin(running.adminSocket, { method: "POST", target: "/v1/revocations", body });
  const { vkey, bundleText } = await readTrust(running);
  return {
    server: running,
    owner,
    parent,
    child,
    verifier,
    eventId: first.eventId,
    deniedId: denied.eventId,
    agentId: child.answer.agent_id ?? "",
    vkey,
    bundleText,
    make: async (query) => {
      const answer = await sendAdmin(running.adminSocket, { target: `/v1/evidence?${query}` });
      if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
      return answer.bytes;
    },
    verify: (bytes) => verifyEvidence(bytes, { log: { vkey }, roots: { bundle: bundleText } }),
  };
}

/** What an auditor trusts: the key of a server's log, and its trust bundle. */
export async function readTrust({ url }: Pick<TestServer, "url">) {
  const { log_vkey: vkey } = discovery.parse(jsonOf(await send(url, { target: "/.well-known/trustwarden" })));
  return { vkey, bundleText: (await send(url, { target: "/v1/bundle" })).text };
}

/** What a verification comes to: its refusal's code, or `missing` when everything is true and something is not there. */
export function verdictOf(run: () => BundleReport): string {
  try {
    return run().alarms.length === 0 ? "verified" : "missing";
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
}

/** What `verify.mjs`, which travels with a bundle, says of it. @param trust - arguments that name the log. */
export function askTravelling(bytes: Uint8Array, bundleText: string, trust: readonly string[]) {
  const home = mkdtempSync(join(tmpdir(), "warden-evidence-"));
  try {
    const [file, bundle] = [join(home, "case.twb"), join(home, "bundle.json")];
    writeFileSync(file, bytes);
    writeFileSync(bundle, bundleText);
    const args = [VERIFIER, file, ...trust, "--bundle", bundle];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    return { status, stdout, stderr };
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** Ids of the events in a server's bundle of one event, by our own verifier. */
export async function provenEventsOf(server: TestServer, eventId: string): Promise<readonly string[]> {
  const target = `/v1/evidence?event=${eventId}`;
  const { bytes } = await sendAdmin(server.adminSocket, { target });
  const { vkey, bundleText: bundle } = await readTrust(server);
  const { events } = verifyEvidence(bytes, { log: { vkey }, roots: { bundle } });
  return events.map(({ event }) => event.event_id);
}

async function act(
  server: TestServer,
  options: {
    readonly agent: TestInstance;
    readonly verifier: TestInstance;
    readonly seq: number;
    readonly prev: string | null;
    readonly action?: string;
  },
): Promise<{ readonly eventId: string; readonly payloadSha256: string }> {
  const { agent, verifier, seq, prev, action = "read:transactions" } = options;
  const intent = visitIntent(agent, verifier, { seq, prev, action, job: STORY_JOB });
  const decision = parseDecision(await askDecision(server, { caller: verifier, agent, intent }));
  if (decision.allow) {
    const body = JSON.stringify({ outcome: outcomeOf(verifier, decision.receipt) });
    await send(server.url, { method: "POST", target: "/v1/outcomes", body }, verifier.tls);
  }
  const payloadSha256 = encodeBase64url(sha256(parseEnvelope(intent.envelope).payload));
  return { eventId: intent.intent.event_id, payloadSha256 };
}
