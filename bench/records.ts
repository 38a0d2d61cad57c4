/** The records of actions, signed by real parties: what the log is filled with. */
import { randomBytes } from "node:crypto";
import { encodeBase64, encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import { formatUuidV7 } from "@trustwarden/core/id.ts";
import { issueIntent, type VerifiedIntent } from "@trustwarden/core/intent.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { createParties, type Domain, type Party } from "./domain.ts";

const AGENT_ID = "agt_01JBENCH00000000000000000A";
const CHAIN: readonly string[] = ["owner:own_01JBENCH00000000000000000A", AGENT_ID];
const INTENT_SECONDS = 30;

type Parties = ReturnType<typeof createParties>;

/** Writes one agent's records, action after action, as its SDK, the server and the service would. */
export class RecordWriter {
  readonly parties: Parties;
  readonly #domain: Domain;
  #seq = 0;
  #prev: string | null = null;

  constructor(domain: Domain) {
    this.#domain = domain;
    this.parties = createParties(domain);
  }

  /** Records that carry the SVIDs; the first entries of a log that is to be verified. */
  introductions(): readonly Uint8Array[] {
    return [this.parties.server, this.parties.service, this.parties.agent].map((party) =>
      this.#introduce(party),
    );
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
    return this.#sign("decision", this.parties.server, {
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
      enforcement: "service",
      lease_epoch: 1,
      time: this.#time(),
    });
  }

  /** Intent, decision and outcome of one action, whose decision will stand at an index of the log. */
  nextAction(decisionIndex: number): readonly Uint8Array[] {
    const intent = this.nextIntent();
    const outcome = this.#sign("outcome", this.parties.service, {
      v: 1,
      event_id: intent.intent.event_id,
      intent_sha256: intent.sha256,
      decision_index: decisionIndex,
      status: "success",
      result: null,
      bytes: 312,
      duration_ms: 2,
      time: this.#time(),
    });
    return [encodeUtf8(intent.envelope), this.decide(intent), outcome];
  }

  #introduce(party: Party): Uint8Array {
    const isServer = party === this.parties.server;
    return this.#sign("control", this.parties.server, {
      v: 1,
      event_id: formatUuidV7(this.#domain.now * 1000, randomBytes),
      kind: isServer ? "start" : "issue",
      allow: true,
      reasons: [],
      principal: isServer ? "operator" : "enrollee:bench",
      subject: party.id,
      chain: [],
      intent_sha256: null,
      epoch: 1,
      from: { peer: "unix" },
      details: {
        spiffe_id: party.id,
        svid_sha256: party.leaf.sha256,
        svid_chain: party.chain.map(encodeBase64),
      },
      time: this.#time(),
    });
  }

  #sign(name: "decision" | "outcome" | "control", by: Party, payload: JsonObject): Uint8Array {
    return encodeUtf8(issueEnvelope(name, payload, by.signer, by.leaf.sha256));
  }

  #time(): string {
    return formatTime(this.#domain.now * 1000);
  }
}
