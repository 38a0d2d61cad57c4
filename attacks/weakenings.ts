/**
 * The named edits of the source under which attacks get through (weakenings), and those that make a machine fail at a
 * chosen point (faults). They exist only here: no shipped file holds a switch for them.
 *
 * Each edit must fit its file exactly once; the suite refuses to run when one does not.
 */
import type { SourceEdit } from "./source-edit.ts";
import { A2A_WEAKENINGS } from "./weakenings/a2a.ts";
import { ATTESTATION_WEAKENINGS } from "./weakenings/attestation.ts";
import { BROKER_WEAKENINGS } from "./weakenings/broker.ts";
import { CREDENTIALS_WEAKENINGS } from "./weakenings/credentials.ts";
import { DECISIONS_WEAKENINGS } from "./weakenings/decisions.ts";
import { EGRESS_WEAKENINGS } from "./weakenings/egress.ts";
import { FAULTS } from "./weakenings/faults.ts";
import { FEDERATION_WEAKENINGS } from "./weakenings/federation.ts";
import { GIT_WEAKENINGS } from "./weakenings/git.ts";
import { ISSUANCE_WEAKENINGS } from "./weakenings/issuance.ts";
import { LEDGER_WEAKENINGS } from "./weakenings/ledger.ts";
import { LISTS_WEAKENINGS } from "./weakenings/lists.ts";
import { MCP_WEAKENINGS } from "./weakenings/mcp.ts";
import { MODELS_WEAKENINGS } from "./weakenings/models.ts";
import { NODES_WEAKENINGS } from "./weakenings/nodes.ts";
import { OAUTH_WEAKENINGS } from "./weakenings/oauth.ts";
import { PEOPLE_WEAKENINGS } from "./weakenings/people.ts";
import { REGISTRATION_WEAKENINGS } from "./weakenings/registration.ts";
import { REPLICA_WEAKENINGS } from "./weakenings/replicas.ts";
import { REVOCATION_WEAKENINGS } from "./weakenings/revocation.ts";
import { SDK_WEAKENINGS } from "./weakenings/sdk.ts";

const WEAKENINGS = {
  ...ISSUANCE_WEAKENINGS,
  ...ATTESTATION_WEAKENINGS,
  ...NODES_WEAKENINGS,
  ...LEDGER_WEAKENINGS,
  ...LISTS_WEAKENINGS,
  ...CREDENTIALS_WEAKENINGS,
  ...DECISIONS_WEAKENINGS,
  ...FEDERATION_WEAKENINGS,
  ...BROKER_WEAKENINGS,
  ...MCP_WEAKENINGS,
  ...A2A_WEAKENINGS,
  ...OAUTH_WEAKENINGS,
  ...PEOPLE_WEAKENINGS,
  ...MODELS_WEAKENINGS,
  ...EGRESS_WEAKENINGS,
  ...GIT_WEAKENINGS,
  ...REGISTRATION_WEAKENINGS,
  ...REPLICA_WEAKENINGS,
  ...REVOCATION_WEAKENINGS,
  ...SDK_WEAKENINGS,
};

/** Name of an edit that switches a check off. */
export type WeakeningName = keyof typeof WEAKENINGS;
/** Name of an edit that makes a machine fail. */
export type FaultName = keyof typeof FAULTS;

export const WEAKENING_NAMES = Object.keys(WEAKENINGS);
requireDistinct([
  ISSUANCE_WEAKENINGS,
  ATTESTATION_WEAKENINGS,
  NODES_WEAKENINGS,
  LEDGER_WEAKENINGS,
  LISTS_WEAKENINGS,
  CREDENTIALS_WEAKENINGS,
  DECISIONS_WEAKENINGS,
  FEDERATION_WEAKENINGS,
  BROKER_WEAKENINGS,
  MCP_WEAKENINGS,
  A2A_WEAKENINGS,
  OAUTH_WEAKENINGS,
  MODELS_WEAKENINGS,
  EGRESS_WEAKENINGS,
  GIT_WEAKENINGS,
  PEOPLE_WEAKENINGS,
  REGISTRATION_WEAKENINGS,
  REVOCATION_WEAKENINGS,
  SDK_WEAKENINGS,
  FAULTS,
]);
export const FAULT_NAMES = Object.keys(FAULTS);

const ALL: ReadonlyMap<string, readonly SourceEdit[]> = new Map([
  ...Object.entries<readonly SourceEdit[]>(WEAKENINGS),
  ...Object.entries<readonly SourceEdit[]>(FAULTS),
]);

/** The edits of these names. @throws Error for a name that nobody knows. */
export function editsOf(names: readonly string[]): readonly SourceEdit[] {
  return names.flatMap((name) => {
    const edits = ALL.get(name);
    if (edits === undefined) throw new Error(`there is no weakening called ${name}`);
    return edits;
  });
}

/** Of two edits of one name only one would be loaded, and the other's scenario would pass for the wrong reason. */
function requireDistinct(groups: readonly object[]): void {
  const names = groups.flatMap((group) => Object.keys(group));
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`two weakenings are called ${twice}`);
}
