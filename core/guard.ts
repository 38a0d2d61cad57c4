/**
 * The one path: arrive, authenticate, decide, record, act, record, answer.
 *
 * Nothing reaches a tool, a database, a token or a certificate except through `guard`. The server runs it with its
 * own ports; a service that agents visit runs the same lines with ports that ask the server. What the steps mean is
 * in ARCHITECTURE.md; how each is done is behind `GuardPorts`.
 *
 * Fails closed: any throw before `act` means that nothing was done.
 */
import { type Decision, isUndecided } from "./decision.ts";
import { TrustWardenError } from "./error.ts";

/** What the five ports of the path must do for one kind of arrival. */
export interface GuardPorts<Arrival, Principal, Receipt> {
  /** Proves who is asking. Records the refusal itself; throws a 401 code. */
  authenticate(arrival: Arrival): Promise<Principal>;
  /** Answers whether the principal may do what the arrival asks. Policy never throws: anything odd is a deny. */
  decide(arrival: Arrival, principal: Principal): Promise<Decision>;
  /** Makes the decision durable, allow or deny, and claims its event id: a replayed intent never acts twice. */
  record(arrival: Arrival, principal: Principal, decision: Decision): Promise<Receipt>;
  /** Throws unless the principal is alive on a fresh revocation view, immediately before acting. */
  requireLive(principal: Principal, decision: Decision): void;
  /** Records what came of it; the decision is already durable, so a failure here is loud but undoes nothing. */
  recordOutcome(permit: Permit<Arrival, Principal, Receipt>, outcome: Outcome): Promise<void>;
}

/** Proof that the first half of the path was walked; only `authorize` makes one. */
export interface Permit<Arrival, Principal, Receipt> {
  readonly arrival: Arrival;
  readonly principal: Principal;
  readonly decision: Decision;
  readonly receipt: Receipt;
}

/** What came of an action. */
export interface Outcome {
  readonly status: "success" | "failure" | "aborted";
  /** Code of the failure, when it has one. */
  readonly reason?: string;
}

/** The first half: authenticate, decide, record. A deny comes back as a recorded decision, not as an exception. */
export async function authorize<Arrival, Principal, Receipt>(
  ports: GuardPorts<Arrival, Principal, Receipt>,
  arrival: Arrival,
): Promise<Permit<Arrival, Principal, Receipt>> {
  const principal = await ports.authenticate(arrival);
  const decision = await ports.decide(arrival, principal);
  const receipt = await ports.record(arrival, principal, decision);
  return { arrival, principal, decision, receipt };
}

/**
 * The whole path around one act.
 *
 * @throws TrustWardenError a 401 code from authenticate, `denied`, `approval_required` or `policy_unavailable` from decide, `ledger_unavailable` from record,
 *   `lease_expired` or `identity_revoked` from the re-check; and whatever `act` throws.
 */
export async function guard<Arrival, Principal, Receipt, Answer>(
  ports: GuardPorts<Arrival, Principal, Receipt>,
  arrival: Arrival,
  act: (permit: Permit<Arrival, Principal, Receipt>) => Promise<Answer>,
): Promise<Answer> {
  const permit = await authorize(ports, arrival);
  requireAllowed(permit.decision);
  const answer = await actOnce(ports, permit, act);
  await ports.recordOutcome(permit, { status: "success" });
  return answer;
}

async function actOnce<Arrival, Principal, Receipt, Answer>(
  ports: GuardPorts<Arrival, Principal, Receipt>,
  permit: Permit<Arrival, Principal, Receipt>,
  act: (permit: Permit<Arrival, Principal, Receipt>) => Promise<Answer>,
): Promise<Answer> {
  try {
    ports.requireLive(permit.principal, permit.decision);
    return await act(permit);
  } catch (error) {
    const reason = error instanceof TrustWardenError ? error.code : "internal";
    // Whoever went away, or was cut off, got a part of it: that is neither a success nor a refusal.
    const isBrokenOff = reason === "call_aborted" || reason === "call_cut";
    await ports.recordOutcome(permit, { status: isBrokenOff ? "aborted" : "failure", reason });
    throw error;
  }
}

/** What asks for a human, and what no engine answered, is refused like a deny, by a code that says what would help. */
function requireAllowed({ effect, reasons }: Decision): void {
  if (effect === "allow") return;
  if (isUndecided(reasons)) throw new TrustWardenError("policy_unavailable", { reasons });
  throw new TrustWardenError(effect === "ask" ? "approval_required" : "denied", { reasons });
}
