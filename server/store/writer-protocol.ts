/** What crosses between the caller's thread and the writer's: commands one way, results or codes the other. */
import type { ErrorCode, ErrorDetails } from "@trustwarden/core/error.ts";
import type {
  AddLabelsCommand,
  AnswerApprovalCommand,
  CreateApprovalCommand,
  SetFreezeCommand,
  UseApprovalCommand,
} from "./approval-ports.ts";
import type { ChangeAuthorityCommand, MendAuthorityCommand } from "./authority-ports.ts";
import type { SecretCommand } from "./broker-ports.ts";
import type { BudgetUseRow, FoldBudgetShares, SetBudgetCommand, ShareBudgetUse } from "./budget-ports.ts";
import type { ClaimCommand } from "./claim-ports.ts";
import type { CreateOwnerCommand } from "./commands/create-owner.ts";
import type { CreateVerifierTicketCommand } from "./commands/create-verifier-ticket.ts";
import type { DepositTicketCommand } from "./commands/deposit-ticket.ts";
import type { IssuingKeys, IssuingRules } from "./commands/deps.ts";
import type { IssueServerSvidCommand } from "./commands/issue-server-svid.ts";
import type { IssueCrlsCommand } from "./commands/revocation-lists.ts";
import type { IssueStatusListCommand } from "./commands/status-slots.ts";
import type { AdmitSvidCommand, FederationCommand, RegisterForeignCommand } from "./federation-ports.ts";
import type { UpstreamCommand } from "./gateway-ports.ts";
import type { ApproveCommand, ObserveCommand } from "./mcp-ports.ts";
import type {
  IssueAccessTokenCommand,
  IssueIdentityGrantCommand,
  RevokeAccessTokenCommand,
} from "./oauth-ports.ts";
import type { PeopleCommand } from "./people-ports.ts";
import type { LoadPolicyCommand } from "./policy-ports.ts";
import type { CommandContext, IssueCommand, JwtCommand, RenewCommand } from "./ports.ts";
import type { StateSettings } from "./postgres-state/protocol.ts";
import type { NewReading } from "./reading-ports.ts";
import type {
  AdmitNodeCommand,
  CreateEntryCommand,
  EntryIssueCommand,
  JoinTokenCommand,
  NodeEndCommand,
  NodeJwtCommand,
  NodeRenewCommand,
} from "./registration-ports.ts";
import type { CommitCount } from "./remembered-reads.ts";
import type { NarrowCommand, RevokeCommand } from "./revocation-ports.ts";
import type { AcceptTransferCommand, OfferTransferCommand } from "./transfer-ports.ts";
import type { NodeWitCommand, WitCommand } from "./wit-ports.ts";

/** `workerData` of the writer. Holds private keys: never logged. */
export interface WriterData {
  readonly dataDir: string;
  readonly keys: IssuingKeys;
  readonly rules: IssuingRules;
  /** Where the state is kept; null for this machine's disk. */
  readonly remote: StateSettings | null;
  /** Counted on by the writer after each commit, before its answers leave. */
  readonly commits: CommitCount;
}

export type WriterCommand =
  | { readonly kind: "createOwner"; readonly command: CreateOwnerCommand }
  | { readonly kind: "depositTicket"; readonly command: DepositTicketCommand }
  | { readonly kind: "createVerifierTicket"; readonly command: CreateVerifierTicketCommand }
  | { readonly kind: "changeClaim"; readonly command: ClaimCommand }
  | { readonly kind: "offerTransfer"; readonly command: OfferTransferCommand }
  | { readonly kind: "acceptTransfer"; readonly command: AcceptTransferCommand }
  | { readonly kind: "issue"; readonly command: IssueCommand }
  | { readonly kind: "renew"; readonly command: RenewCommand }
  | { readonly kind: "issueJwt"; readonly command: JwtCommand }
  | { readonly kind: "issueAccessToken"; readonly command: IssueAccessTokenCommand }
  | { readonly kind: "issueIdentityGrant"; readonly command: IssueIdentityGrantCommand }
  | { readonly kind: "revokeAccessToken"; readonly command: RevokeAccessTokenCommand }
  | { readonly kind: "issueWit"; readonly command: WitCommand }
  | { readonly kind: "issueWitByNode"; readonly command: NodeWitCommand }
  | { readonly kind: "createJoinToken"; readonly command: JoinTokenCommand }
  | { readonly kind: "admitNode"; readonly command: AdmitNodeCommand }
  | { readonly kind: "createEntry"; readonly command: CreateEntryCommand }
  | {
      readonly kind: "removeEntry";
      readonly command: { readonly context: CommandContext; readonly entryId: string };
    }
  | { readonly kind: "issueByEntry"; readonly command: EntryIssueCommand }
  | { readonly kind: "renewByNode"; readonly command: NodeRenewCommand }
  | { readonly kind: "issueJwtByNode"; readonly command: NodeJwtCommand }
  | { readonly kind: "endByNode"; readonly command: NodeEndCommand }
  | { readonly kind: "createApproval"; readonly command: CreateApprovalCommand }
  | { readonly kind: "answerApproval"; readonly command: AnswerApprovalCommand }
  | { readonly kind: "useApproval"; readonly command: UseApprovalCommand }
  | { readonly kind: "addLabels"; readonly command: AddLabelsCommand }
  | { readonly kind: "setFreeze"; readonly command: SetFreezeCommand }
  | { readonly kind: "revoke"; readonly command: RevokeCommand }
  | { readonly kind: "narrow"; readonly command: NarrowCommand }
  | { readonly kind: "issueServerSvid"; readonly command: IssueServerSvidCommand }
  | { readonly kind: "issueCrls"; readonly command: IssueCrlsCommand }
  | { readonly kind: "changeFederation"; readonly command: FederationCommand }
  | { readonly kind: "changeUpstream"; readonly command: UpstreamCommand }
  | { readonly kind: "changeSecret"; readonly command: SecretCommand }
  | { readonly kind: "observeMcp"; readonly command: ObserveCommand }
  | { readonly kind: "approveMcp"; readonly command: ApproveCommand }
  | { readonly kind: "issueStatusList"; readonly command: IssueStatusListCommand }
  | { readonly kind: "registerForeign"; readonly command: RegisterForeignCommand }
  | { readonly kind: "admitSvid"; readonly command: AdmitSvidCommand }
  | { readonly kind: "changeAuthority"; readonly command: ChangeAuthorityCommand }
  | { readonly kind: "mendAuthority"; readonly command: MendAuthorityCommand }
  | { readonly kind: "setBudget"; readonly command: SetBudgetCommand }
  | {
      readonly kind: "saveBudgetUse";
      readonly rows: readonly BudgetUseRow[] | ShareBudgetUse | FoldBudgetShares;
    }
  | { readonly kind: "changePeople"; readonly command: PeopleCommand }
  | { readonly kind: "countReading"; readonly reading: NewReading }
  | {
      readonly kind: "touchSession";
      readonly touch: { readonly sessionSha256: string; readonly now: number };
    }
  | { readonly kind: "loadPolicy"; readonly command: LoadPolicyCommand }
  | { readonly kind: "markSequenced"; readonly outboxIds: readonly number[] };

/** One command on its way; the id joins it to its reply. */
export type WriterRequest = WriterCommand & { readonly id: number };

export type WriterReply<T = unknown> =
  | { readonly id: number; readonly isDone: true; readonly value: T }
  | { readonly id: number; readonly isDone: false; readonly code: ErrorCode; readonly details: ErrorDetails };

/** To the writer: a command, or the order to finish and go. */
export type ToWriter = WriterRequest | { readonly kind: "close" };

/** The database went away, or is back. */
export interface StateLink {
  readonly kind: "link";
  readonly isLinked: boolean;
  /**
   * Outbox rows of groups that were in doubt and turned out to be committed: nobody else brings them into the ledger, or
   * tells the verifiers.
   */
  readonly orphans: readonly number[];
}

/** Other servers have written: whoever reads the copy may find an epoch that nobody here was told of. */
export interface StateFollowed {
  readonly kind: "followed";
  /** In which they did; null where it may be any. */
  readonly tables: readonly string[] | null;
}

/** The database of several servers has a group of this one: the others want to know. */
export interface StateKept {
  readonly kind: "kept";
}

/** What a store elsewhere says unasked. */
export type StateNews = StateLink | StateFollowed | StateKept;

/** From the writer. `isFatal`: a commit failed in an unknown state, or the store is another's; nothing is written any more. */
export type FromWriter =
  | { readonly kind: "ready" }
  | { readonly kind: "refused"; readonly code: ErrorCode; readonly details: ErrorDetails }
  | StateNews
  | {
      readonly kind: "replies";
      readonly replies: readonly WriterReply[];
      readonly isFatal: boolean;
      readonly why?: ErrorDetails;
    };
