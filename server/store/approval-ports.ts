/**
 * The part of the state store that asks humans, keeps labels and freezes, in the manner of `ports.ts`.
 *
 * An approval is used in the transaction that finds it unused, so that of two calls with one approval one is refused.
 */
import type { ApprovalQuestion } from "@trustwarden/core/approval.ts";
import type { ApprovalReference } from "@trustwarden/core/event.ts";
import type { UsedAssertion } from "./people-ports.ts";
import type { CommandContext, Committed } from "./ports.ts";

/** One action that waits for a human, as it was asked for. */
export interface ApprovalRequest extends ApprovalQuestion {
  readonly instanceId: string;
  readonly agentId: string;
  readonly enforcement: "gateway" | "service" | "self";
  /** Why the policy asks. */
  readonly reasons: readonly string[];
  /** Canonical JSON of the parameters. */
  readonly parametersText: string;
  /** What a request carries, for the human to read; null where it is not text or too long. */
  readonly body: string | null;
  /** 32 bytes under which `parameters` commits to `parametersText`. */
  readonly salt: Uint8Array;
  /** Unix seconds. */
  readonly createdAt: number;
  /** Unix seconds; unanswered or unused by then, it is denied. */
  readonly expiresAt: number;
}

/** A request and what became of it. */
export interface ApprovalState extends ApprovalRequest {
  readonly answer: "approve" | "deny" | null;
  /** Unix seconds. */
  readonly answeredAt: number | null;
  /** The signed answer. */
  readonly envelope: string | null;
  /** `event_id` of the action that used it. */
  readonly usedBy: string | null;
}

export interface CreateApprovalCommand {
  readonly context: CommandContext;
  readonly request: ApprovalRequest;
}

export interface AnswerApprovalCommand {
  readonly context: CommandContext;
  readonly id: string;
  readonly answer: "approve" | "deny";
  /** Verified before, against the request as it is kept. */
  readonly envelope: string;
  /** Of the passkey that signed it; null for a file's key. */
  readonly assertion: UsedAssertion | null;
}

/** A call that names an approval; everything has to be as it was approved. */
export interface UseApprovalCommand {
  readonly context: CommandContext;
  readonly id: string;
  readonly instanceId: string;
  /** `event_id` of the call. */
  readonly usedBy: string;
  readonly action: string;
  readonly resource: string;
  readonly audience: string;
  /** Canonical JSON of the parameters. */
  readonly parametersText: string;
  readonly policySha256: string;
  /** Why the call would wait now; the human has seen each of them. */
  readonly reasons: readonly string[];
}

export interface AddLabelsCommand {
  readonly context: CommandContext;
  /** Instances and jobs. */
  readonly holders: readonly string[];
  readonly labels: readonly string[];
}

/** Nothing that changes the world goes on until this is lifted or over. */
export interface Freeze {
  readonly reason: string;
  /** Unix seconds. */
  readonly since: number;
  /** Unix seconds; null until it is lifted. */
  readonly until: number | null;
}

export interface SetFreezeCommand {
  readonly context: CommandContext;
  /** Null lifts it. */
  readonly freeze: Omit<Freeze, "since"> | null;
}

/** Commands. */
export interface ApprovalCommands {
  /** @throws TrustWardenError `approval_exists`, `approvals_pending` or what a dead instance is refused with. */
  createApproval(command: CreateApprovalCommand): Promise<Committed<null>>;
  /** @throws TrustWardenError `not_found`, `approval_answered` or `approval_expired`. */
  answerApproval(command: AnswerApprovalCommand): Promise<Committed<null>>;
  /**
   * @throws TrustWardenError `approval_unknown`, `approval_mismatch`, `approval_pending`, `approval_denied`,
   *   `approval_expired`, `approval_used` or `approval_withdrawn`, and what a dead instance is refused with.
   */
  useApproval(command: UseApprovalCommand): Promise<Committed<ApprovalReference>>;
  addLabels(command: AddLabelsCommand): Promise<null>;
  setFreeze(command: SetFreezeCommand): Promise<Committed<Freeze | null>>;
}

/** Reads. */
export interface ApprovalReads {
  findApproval(id: string): ApprovalState | undefined;
  /** Newest first. */
  listApprovals(query: {
    readonly ownerId?: string;
    readonly isOpen: boolean;
    readonly now: number;
    readonly limit: number;
  }): readonly ApprovalState[];
  /** What an instance or job has read so far, sorted. */
  labelsOf(holder: string): readonly string[];
  /** The freeze that was set last and not lifted, also when its time is over. */
  freeze(): Freeze | undefined;
}
