/** A ledger with something in it, and an operator's ways to it. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Sequencer } from "@trustwarden/core/agentledger/sequencer.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import type { VerifiedIntent } from "@trustwarden/core/intent.ts";
import { PosixLogStorage } from "../../server/store/posix-log.ts";
import { createPosixHighWater } from "../../server/store/posix-log-high-water.ts";
import {
  askDecision,
  outcomeOf,
  parseDecision,
  type TestInstance,
  visitIntent,
} from "../../test/support/actors.ts";
import { openKeys, openLogSigner } from "../../test/support/authority-keys.ts";
import { TRUST_DOMAIN } from "../../test/support/server.ts";
import { call } from "./client.ts";
import type { World } from "./world.ts";

const MAX_ENTRY_BYTES = 16_384;

/** Who acted in a history. */
export interface History {
  readonly agent: TestInstance;
  readonly verifier: TestInstance;
}

/** Some actions, with their outcomes. */
export async function writeHistory(world: World, actions: number): Promise<History> {
  const agent = await world.enrol(["read:transactions"]);
  const verifier = await world.enrolVerifier();
  for (let made = 0; made < actions; made += 1) {
    const intent = visitIntent(agent, verifier);
    const { receipt } = parseDecision(await askDecision(world.server, { caller: verifier, agent, intent }));
    const body = JSON.stringify({ outcome: outcomeOf(verifier, receipt) });
    await call(world.server.url, { method: "POST", target: "/v1/outcomes", body }, { tls: verifier.tls });
  }
  return { agent, verifier };
}

/** A decision by the server's own key that allows what the agent is made to have intended; the operator can sign it. */
export async function issueOperatorDecision(
  world: World,
  agent: TestInstance,
  { intent, envelope }: VerifiedIntent,
): Promise<string> {
  const database = new DatabaseSync(join(world.home.dataDir, "state.db"), { readOnly: true });
  const row = database.prepare("SELECT svid_sha256 FROM server_svids ORDER BY not_after DESC LIMIT 1").get();
  database.close();
  const decision = {
    v: 1,
    event_id: intent.event_id,
    intent_sha256: encodeBase64url(sha256(encodeUtf8(envelope))),
    allow: true,
    reasons: [],
    class: "C",
    chain: [...agent.answer.chain],
    policy: { name: "trustwarden-builtin/v1", bundle_sha256: encodeBase64url(randomBytes(32)) },
    approval: null,
    from: { peer: "127.0.0.1" },
    custody: "agent",
    attested: { type: "none", strength: "none", composition_sha256: null },
    enforcement: "service",
    lease_epoch: 0,
    time: formatTime(Date.now()),
  };
  const { serverSigner } = await openKeys(world.home);
  return issueEnvelope("decision", decision, serverSigner, String(row?.svid_sha256));
}

/** Appends entries with the log's own key, past the server, as only its operator could. */
export async function appendAsOperator(world: World, entries: readonly Uint8Array[]): Promise<void> {
  const { dataDir, configDir } = world.home;
  const log = new Sequencer({
    origin: `ledger.${TRUST_DOMAIN}`,
    signer: await openLogSigner(world.home),
    storage: new PosixLogStorage(join(dataDir, "ledger")),
    highWater: createPosixHighWater({
      path: join(configDir, `${TRUST_DOMAIN}.high-water`),
      dataDirectory: dataDir,
    }),
    now: () => Math.floor(Date.now() / 1000),
    onFatal: (error) => {
      throw error;
    },
    maxEntryBytes: MAX_ENTRY_BYTES,
  });
  await log.start();
  await log.append(entries);
  await log.stop();
}
