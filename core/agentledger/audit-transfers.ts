/**
 * Whose an agent is, as the log tells it: of the owner it was first issued under, until both owners signed that it is
 * another's.
 *
 * Without this check a lying server could put one owner's agent under another, and every later document would be in order.
 * Before and after are told by epochs: a transfer takes one, and what was issued before it may reach the log behind it.
 */
import { parseEnvelope, type UnverifiedEnvelope } from "../dsse.ts";
import { TrustWardenError } from "../error.ts";
import type { ControlRecord } from "../event.ts";
import type { OwnerKey } from "../passkey.ts";
import {
  digestOfTransfer,
  parseUnverifiedTransfer,
  requireSameTransfer,
  type Transfer,
  verifyTransfer,
} from "../transfer.ts";

interface Period {
  /** Epoch from which on. */
  readonly since: number;
  readonly owner: string;
}

/** Owns who has which agent in one log, and the transfers that were used; lives for one audit. */
export class AgentOwners {
  readonly #keyFor: (owner: string, envelope: UnverifiedEnvelope) => OwnerKey;
  readonly #periods = new Map<string, Period[]>();
  readonly #used = new Set<string>();

  constructor(keyFor: (owner: string, envelope: UnverifiedEnvelope) => OwnerKey) {
    this.#keyFor = keyFor;
  }

  /**
   * Takes an allowed `transfer` event; call in the order of the log.
   *
   * @param signerId - SPIFFE ID of the server that signed it: what was signed for another trust domain gives nothing away here.
   * @throws TrustWardenError `record_malformed`, or what the signatures and the members are refused with.
   */
  add(control: ControlRecord, signerId: string): void {
    const { details } = control;
    const audience = signerId.split("/", 3).join("/");
    const offer = this.#verify(details.offer, { side: "from", control, audience });
    if (details.change === "offer") return;
    if (details.change !== "accept") throw invalid("a transfer of another kind");
    const { agent, from, to } = this.#verify(details.acceptance, { side: "to", control, audience });
    requireSameTransfer(String(details.offer), String(details.acceptance));
    if (details.owner !== to || offer.to !== to) throw invalid("a transfer to another owner");
    const digest = digestOfTransfer(String(details.acceptance));
    if (this.#used.has(digest)) throw invalid("a transfer that was used before");
    this.#used.add(digest);
    const periods = this.#periodsOf(agent, from);
    const last = periods.at(-1);
    if (last?.owner !== from || control.epoch <= last.since)
      throw invalid("a transfer by who did not have the agent");
    periods.push({ since: control.epoch, owner: to });
  }

  /** Refuses an instance under an owner who did not have its agent then. @throws TrustWardenError `record_malformed`. */
  requireOwner({ chain, epoch }: Pick<ControlRecord, "chain" | "epoch">): void {
    const [owner, agent] = chain;
    if (owner === undefined || agent === undefined) return;
    const ownerId = owner.replace(/^owner:/, "");
    const period = this.#periodsOf(agent, ownerId).findLast(({ since }) => since <= epoch);
    if (period?.owner !== ownerId) throw invalid("an agent of another owner");
  }

  /** Known since its first event; in a part of a log that need not be its birth. */
  #periodsOf(agent: string, owner: string): Period[] {
    const known = this.#periods.get(agent) ?? [{ since: -1, owner }];
    this.#periods.set(agent, known);
    return known;
  }

  #verify(
    envelope: unknown,
    check: {
      readonly side: "from" | "to";
      readonly control: ControlRecord;
      /** SPIFFE ID of the trust domain. */
      readonly audience: string;
    },
  ): Transfer {
    const { side, audience } = check;
    const { subject, chain, details, time } = check.control;
    if (typeof envelope !== "string") throw invalid("a transfer without a signature");
    const claimed = parseUnverifiedTransfer(envelope);
    const { agent, from } = claimed;
    if (agent !== subject || details.from !== from || chain.join() !== `owner:${from},${agent}`)
      throw invalid("a transfer of another agent");
    return verifyTransfer(envelope, {
      publicKey: this.#keyFor(claimed[side], parseEnvelope(envelope)),
      audience,
      now: Math.floor(Date.parse(time) / 1000),
    });
  }
}

function invalid(reason: string): TrustWardenError {
  return new TrustWardenError("record_malformed", { reason });
}
