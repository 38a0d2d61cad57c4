/**
 * The path, as a service that agents visit walks it: the ports of `guard` for one visit.
 *
 * The server decides and records in one round trip; the service proves the answer, looks at its own lease immediately
 * before it acts, and reports what came of it. Whatever is missing, late or odd is a deny. The server is on its way to an
 * answer while the service checks the signature of the intent, which both check; nothing is done with the answer before.
 */
import { setImmediate } from "node:timers/promises";
import type { SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { DecisionAnswer } from "@trustwarden/core/api/action.ts";
import type { OpenedApproval } from "@trustwarden/core/approval.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { OutcomeRecord } from "@trustwarden/core/event.ts";
import { type GuardPorts, guard, type Outcome, type Permit } from "@trustwarden/core/guard.ts";
import { askForDecision, decisionOf, requireProven } from "./decision-answer.ts";
import type { Lease } from "./lease.ts";
import type { LiveVisits } from "./live-visits.ts";
import { issueOutcome } from "./outcome.ts";
import type { OutcomeSpool } from "./outcome-spool.ts";
import { type OpenedReceipt, openReceipt, type VerifiedReceipt, verifyOpenedReceipt } from "./receipt.ts";
import { nowSeconds, type Runtime } from "./runtime.ts";
import type { SvidHolder } from "./svid-holder.ts";
import type { TrustServer } from "./trust-server.ts";
import { type OpenedVisit, openVisit, type Visit, type VisitArrival, type Visitor } from "./visit.ts";

/** What a service needs to receive visits. */
export interface Reception {
  readonly id: SpiffeId;
  readonly server: TrustServer;
  readonly holder: SvidHolder;
  readonly lease: Lease;
  readonly outcomes: OutcomeSpool;
  readonly visits: LiveVisits;
  readonly runtime: Runtime;
  /** Ends the renewal that a changed authority asks for. */
  readonly unfollow: () => void;
}

/** How the answer ended. */
export interface Ending {
  readonly status: OutcomeRecord["status"];
  /** Bytes of the answer. */
  readonly bytes: number;
}

/** The service's own work on one visit, with what it says about its end. */
export interface VisitAct<T> {
  /** Does the work; `end` is called once, by the end of it or, for a stream, at the stream's. */
  run(visit: Visit, receive: EndOfVisit): Promise<T>;
  /** Told the receipt of the decision, allow or deny, before anything else happens. */
  onReceipt(verified: VerifiedReceipt): void;
}

/** Reports the end of a visit. */
export interface EndOfVisit {
  /** For work that is over when `run` resolves. */
  ended(ending: Ending): void;
  /** For a stream: takes the report over; the returned function makes it, once, when the stream is over. */
  deferred(): (ending: Ending) => Promise<void>;
}

type VisitPermit = Permit<VisitArrival, Visitor, VerifiedReceipt>;
type VisitPorts = GuardPorts<VisitArrival, Visitor, VerifiedReceipt>;

/**
 * Walks the path for one visit.
 *
 * @throws TrustWardenError what stopped it; nothing has been done then, unless `run` itself threw.
 */
export async function receiveVisit<T>(
  reception: Reception,
  arrival: VisitArrival,
  act: VisitAct<T>,
): Promise<T> {
  const release = reception.outcomes.reserve();
  const state = new VisitState(reception, act);
  try {
    return await guard(state.ports, arrival, (permit) => act.run(state.visitOf(permit), state));
  } finally {
    state.close();
    release();
  }
}

/** What the server said, and its receipt, read once and not proven yet. */
interface Answered {
  readonly answer: DecisionAnswer;
  readonly opened: OpenedReceipt;
}

/** What is known of one visit between the steps. */
class VisitState<T> implements EndOfVisit {
  readonly ports: VisitPorts;
  readonly #reception: Reception;
  readonly #startedAtMs: number;
  #asking: Promise<Answered> | undefined;
  #answered: Answered | undefined;
  #ending: Ending = { status: "success", bytes: 0 };
  #isDeferred = false;
  #permit: VisitPermit | undefined;
  #watch: ReturnType<LiveVisits["watch"]> | undefined;
  readonly #leave: () => void;

  constructor(reception: Reception, act: VisitAct<T>) {
    this.#reception = reception;
    this.#leave = reception.visits.enter();
    this.#startedAtMs = reception.runtime.monotonicMs();
    this.ports = {
      authenticate: (arrival) => this.#authenticate(arrival),
      decide: async () => decisionOf(await this.#receiveAnswer()),
      record: async (_, visitor) => {
        const verified = await this.#prove(visitor);
        act.onReceipt(verified);
        return verified;
      },
      requireLive: (_, { epoch }) => this.#requireLive(epoch),
      recordOutcome: (permit, outcome) => this.#recordOutcome(permit, outcome),
    };
  }

  ended(ending: Ending): void {
    this.#ending = ending;
  }

  deferred(): (ending: Ending) => Promise<void> {
    this.#isDeferred = true;
    const { outcomes } = this.#reception;
    return async (ending) => {
      this.#watch?.end();
      try {
        if (this.#permit !== undefined) await outcomes.report(this.#sign(this.#permit, ending));
      } finally {
        this.#leave();
      }
    };
  }

  /** The work is over, unless a stream took over the report of its end. */
  close(): void {
    if (this.#isDeferred) return;
    this.#watch?.end();
    this.#leave();
  }

  visitOf(permit: VisitPermit): Visit {
    this.#permit = permit;
    const { visits, runtime } = this.#reception;
    const { svid } = permit.principal;
    this.#watch = visits.watch(() => {
      this.#requireLive(permit.decision.epoch);
      if (nowSeconds(runtime) >= svid.leaf.notAfter) throw new TrustWardenError("svid_expired");
    });
    const { match, body } = permit.arrival;
    const { agent } = this.#decided().answer;
    return {
      agent: {
        spiffeId: permit.principal.svid.id,
        agentId: agent.agent_id,
        instanceId: agent.instance_id,
        ownerId: agent.owner_id,
        chain: agent.chain,
      },
      action: match.action,
      resource: match.resource,
      params: match.params,
      body,
      receipt: permit.receipt.receipt,
      signal: this.#watch.signal,
    };
  }

  async #authenticate(arrival: VisitArrival): Promise<Visitor> {
    const { id, server, lease, runtime } = this.#reception;
    lease.requireFresh();
    const opened = openVisit(arrival, { id, chains: server.chains, now: nowSeconds(runtime) });
    this.#asking = this.#ask(arrival, opened);
    // Safe: whoever is let in awaits it, and for whoever is refused here its end says nothing.
    this.#asking.catch(() => undefined);
    // The question leaves before this thread is busy with the signature.
    await setImmediate();
    return opened.prove();
  }

  async #receiveAnswer(): Promise<OpenedReceipt> {
    if (this.#asking === undefined) throw new Error("the path authenticates before it decides");
    this.#answered = await this.#asking;
    return this.#answered.opened;
  }

  async #ask(arrival: VisitArrival, { svid, envelope }: OpenedVisit): Promise<Answered> {
    const { server, holder } = this.#reception;
    const answer = await askForDecision(server, {
      agent: holder.current().serverAgent,
      intent: envelope,
      svidChain: svid.chain.map(({ der }) => der),
      ...(arrival.match.effects && { effects: arrival.match.effects }),
      ...presentedBy(arrival),
    });
    return { answer, opened: openReceipt(answer.receipt) };
  }

  async #prove({ intent, svid }: Visitor): Promise<VerifiedReceipt> {
    const { server } = this.#reception;
    const { answer, opened } = this.#decided();
    const leaf = await server.findServerSvid(opened.envelope.unverifiedKeyid);
    const { sha256: intentSha256 } = intent;
    const verified = await server.ledgerKeys.withKeyAt(opened.receipt.decision_index, ({ key: logVkey }) =>
      verifyOpenedReceipt(opened, { server: leaf, logVkey, intentSha256, enforcement: "service" }),
    );
    requireProven(answer, { record: verified.decision, spiffeId: svid.id });
    return verified;
  }

  #requireLive(epoch: number): void {
    const { lease } = this.#reception;
    const { agent } = this.#decided().answer;
    const owner = agent.chain.map((id) => id.replace(/^owner:/, ""));
    lease.requireFresh();
    lease.requireUntouched({
      epoch,
      ids: [...owner, agent.owner_id, agent.agent_id, agent.instance_id, ...agent.chain_instances],
    });
  }

  async #recordOutcome(permit: VisitPermit, { status }: Outcome): Promise<void> {
    const { outcomes } = this.#reception;
    if (status !== "success") await outcomes.report(this.#sign(permit, { ...this.#ending, status }));
    // The answer has left, so nobody waits for this.
    else if (!this.#isDeferred) await outcomes.reportSoon(this.#sign(permit, this.#ending));
  }

  #sign({ receipt }: VisitPermit, { status, bytes }: Ending): string {
    const { holder, runtime } = this.#reception;
    const { key, svid } = holder.current();
    const finished = {
      receipt: receipt.receipt,
      status,
      bytes,
      durationMs: runtime.monotonicMs() - this.#startedAtMs,
      nowMs: runtime.nowMs(),
    };
    return issueOutcome(finished, key.signer, svid.leaf.sha256);
  }

  #decided(): Answered {
    if (this.#answered === undefined) throw new Error("the path decides before it records");
    return this.#answered;
  }
}

/** What the visit really is, opened for the server: an approval counts for exactly this request. */
function presentedBy({ approval: id, salt = "", method, target, body }: VisitArrival): {
  readonly approval?: OpenedApproval;
} {
  if (id === undefined) return {};
  const body_sha256 = encodeBase64url(sha256(body));
  return {
    approval: { id, salt, parameters: { kind: "request", method, target: target.text, body_sha256 } },
  };
}
