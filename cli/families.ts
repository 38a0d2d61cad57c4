/**
 * Every command of the program, in the order of its help, and the module that makes it.
 *
 * Most runs need one of them, and loading all takes as long as what a command does: each is loaded when the command line
 * names it.
 */
import type { Command } from "commander";
import type { Runtime } from "./command.ts";

/** The commands that one module adds to the program. */
export interface Family {
  /** Their names directly below `warden`, as people write them. */
  readonly names: readonly string[];
  readonly load: () => Promise<(program: Command, runtime: Runtime) => void>;
}

export const FAMILIES: readonly Family[] = [
  { names: ["up"], load: async () => (await import("./commands/up.ts")).addUpCommand },
  { names: ["run"], load: async () => (await import("./commands/run.ts")).addRunCommand },
  { names: ["owner"], load: async () => (await import("./commands/owner.ts")).addOwnerCommands },
  { names: ["person"], load: async () => (await import("./commands/person.ts")).addPersonCommands },
  {
    names: ["organization"],
    load: async () => (await import("./commands/organization.ts")).addOrganizationCommands,
  },
  {
    names: ["confirmation"],
    load: async () => (await import("./commands/confirmation.ts")).addConfirmationCommands,
  },
  { names: ["agent"], load: async () => (await import("./commands/agent.ts")).addAgentCommands },
  { names: ["offers"], load: async () => (await import("./commands/offers.ts")).addOffersCommand },
  { names: ["entry"], load: async () => (await import("./commands/entry.ts")).addEntryCommands },
  { names: ["relay"], load: async () => (await import("./commands/relay.ts")).addRelayCommands },
  { names: ["verifier"], load: async () => (await import("./commands/verifier.ts")).addVerifierCommands },
  { names: ["protect"], load: async () => (await import("./commands/protect.ts")).addProtectCommand },
  { names: ["node", "explain"], load: async () => (await import("./commands/node.ts")).addNodeCommands },
  {
    names: ["federation"],
    load: async () => (await import("./commands/federation.ts")).addFederationCommands,
  },
  { names: ["bundle"], load: async () => (await import("./commands/federation.ts")).addBundleCommands },
  { names: ["foreign"], load: async () => (await import("./commands/foreign.ts")).addForeignCommands },
  { names: ["revoke"], load: async () => (await import("./commands/revoke.ts")).addRevokeCommand },
  { names: ["upstream"], load: async () => (await import("./commands/upstream.ts")).addUpstreamCommands },
  { names: ["secret"], load: async () => (await import("./commands/secret.ts")).addSecretCommands },
  { names: ["scan"], load: async () => (await import("./commands/scan.ts")).addScanCommand },
  { names: ["database"], load: async () => (await import("./commands/database.ts")).addDatabaseCommands },
  { names: ["payload"], load: async () => (await import("./commands/payload.ts")).addPayloadCommands },
  { names: ["mcp"], load: async () => (await import("./commands/mcp.ts")).addMcpCommands },
  { names: ["a2a"], load: async () => (await import("./commands/a2a.ts")).addA2aCommands },
  { names: ["approvals"], load: async () => (await import("./commands/approvals.ts")).addApprovalsCommands },
  { names: ["budget"], load: async () => (await import("./commands/budget.ts")).addBudgetCommands },
  { names: ["ca"], load: async () => (await import("./commands/ca.ts")).addCaCommands },
  { names: ["crl"], load: async () => (await import("./commands/crl.ts")).addCrlCommand },
  { names: ["ledger"], load: async () => (await import("./commands/ledger.ts")).addLedgerCommands },
  { names: ["state"], load: async () => (await import("./commands/state.ts")).addStateCommands },
  { names: ["report"], load: async () => (await import("./commands/report.ts")).addReportCommand },
  { names: ["witness"], load: async () => (await import("./commands/witness.ts")).addWitnessCommands },
  { names: ["monitor"], load: async () => (await import("./commands/monitor.ts")).addMonitorCommand },
  {
    names: ["evidence"],
    load: async () => (await import("./commands/evidence-bundle.ts")).addEvidenceCommands,
  },
  {
    names: ["who", "why", "stop"],
    load: async () => (await import("./commands/questions.ts")).addQuestionCommands,
  },
  { names: ["policy"], load: async () => (await import("./commands/policy.ts")).addPolicyCommands },
  { names: ["git-sign"], load: async () => (await import("./commands/git-sign.ts")).addGitSignCommand },
  { names: ["git-hook"], load: async () => (await import("./commands/git-hook.ts")).addGitHookCommands },
  { names: ["svid"], load: async () => (await import("./commands/svid.ts")).addSvidCommands },
  { names: ["token"], load: async () => (await import("./commands/token.ts")).addTokenCommand },
  {
    names: ["backup", "backup-key", "restore", "restore-status"],
    load: async () => (await import("./commands/backup.ts")).addBackupCommands,
  },
  { names: ["doctor"], load: async () => (await import("./commands/doctor.ts")).addDoctorCommand },
];

/** The families that a command line needs: the one that its first word names, or all, as for help and for a word that is no command. */
export function familiesFor(word: string | undefined): readonly Family[] {
  const named = FAMILIES.filter(({ names }) => word !== undefined && names.includes(word));
  return named.length === 0 ? FAMILIES : named;
}
