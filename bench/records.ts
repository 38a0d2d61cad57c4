/** Intents and decisions, signed by real parties: what the log is filled with. */
import { randomBytes } from "node:crypto";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import { formatUuidV7 } from "@trustwarden/core/id.ts";
import { issueIntent, type VerifiedIntent } from "@trustwarden/core/intent.ts";
import { createParties, type Domain } from "./domain.ts";

const AGENT_ID = "agt_01JBENCH00000000000000000A";
const CHAIN: readonly string[] = ["owner:own_01JBENCH00000000000000000A", AGENT_ID];
const INTENT_SECONDS = 30;

type Parties = ReturnType<typeof createParties>;

/** Writes one agent's intents, one after the other, and the decisions about them, as SDK and server would. */
export class RecordWriter {
  readonly parties: Parties;
  readonly #domain: Domain;
  #seq = 0;
  #prev: string | null = null;

  constructor(domain: Domain) {
    this.#domain = domain;
    this.parties = createParties(domain);
  }

  /** The next intent of the agent for the service. */
  nextIntent(): VerifiedIntent {
    const { agent, service } = this.parties;
    const { now } = this.#domain;
    this.#seq += 1;
    const intent = issueIntent(
      {
        v: 1,
        event_id: formatUuidV7(now * 1000, randomBytes),
        agent: { id: AGENT_ID, spiffe_id: agent.id, svid_sha256: agent.leaf.sha256 },
        action: "read:transactions",
        resource: "postgres://finance-db/transactions",
        request: encodeBase64url(randomBytes(32)),
        params: null,
        aud: service.id,
        job: null,
        time: formatTime(now * 1000),
        exp: now + INTENT_SECONDS,
        seq: this.#seq,
        prev: this.#prev,
        seen: null,
      },
      agent.signer,
    );
    this.#prev = intent.payloadSha256;
    return intent;
  }

  /** The server's decision about an intent. */
  decide(intent: VerifiedIntent): Uint8Array {
    const { signer, leaf } = this.parties.server;
    const record = {
      v: 1,
      event_id: intent.intent.event_id,
      intent_sha256: intent.sha256,
      allow: true,
      reasons: [],
      class: "C",
      chain: CHAIN,
      policy: {
        name: "trustwarden-builtin-v1",
        bundle_sha256: encodeBase64url(sha256(encodeUtf8("policy"))),
      },
      approval: null,
      from: { peer: "127.0.0.1" },
      custody: "agent",
      attested: { type: "none", strength: "none", composition_sha256: null },
      enforcement: "service",
      lease_epoch: 1,
      time: formatTime(this.#domain.now * 1000),
    };
    return encodeUtf8(issueEnvelope("decision", record, signer, leaf.sha256));
  }
}
