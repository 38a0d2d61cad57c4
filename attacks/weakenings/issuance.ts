/** Weakenings of issuance and delegation: who gets an identity, and with what. */
import type { SourceEdit } from "../source-edit.ts";

const ENROLMENT = "server/http/enrolment-credentials.ts";
const LISTENERS = "server/http/listeners.ts";
const CLAIMS = "server/store/commands/claims.ts";
const ISSUE = "server/store/commands/issue.ts";
const DELEGATION = "core/agentid/delegation.ts";
const PROFILE = "core/agentid/svid-profile-check.ts";

/** Edits by name. */
export const ISSUANCE_WEAKENINGS = {
  "verifier-ticket-by-any-owner": [
    {
      file: ENROLMENT,
      find: "return fromVerifierTicket(envelope, check(services.serverKey));",
      replace:
        "return fromVerifierTicket(envelope, check(parseP256PublicKey(services.reads.listOwners({ after: String(), limit: 1 })[0].spki)));",
    },
  ],
  "possession-for-any-document": [
    {
      file: "core/agentid/possession.ts",
      find: 'if (claimed.enrolment !== options.enrolmentSha256) throw invalid("enrolment_sha256");',
      replace: "",
    },
  ],
  "possession-signature-unchecked": [
    {
      file: "core/agentid/possession.ts",
      find: 'verifyEnvelope(parsed, "possession", publicKey)',
      replace: "JSON.parse(new TextDecoder().decode(parsed.payload))",
    },
  ],
  "leaf-is-authority": [
    {
      file: "core/agentid/svid-profile.ts",
      find: "  basicConstraints: encodeSequence(),\n",
      replace: "  basicConstraints: encodeSequence(encodeTrue()),\n",
    },
    { file: PROFILE, find: 'if (leaf.isCa) throw malformed("leaf is an authority");', replace: "" },
  ],
  "key-used-again": [
    {
      file: CLAIMS,
      find: 'if (changes === 0) throw new TrustWardenError("key_reused");',
      replace: "void changes;",
    },
  ],
  "any-body-size": [
    { file: LISTENERS, find: "bodyLimit: MAX_BODY_BYTES,", replace: "bodyLimit: 1_000_000_000," },
  ],
  "malformed-takes-the-process": [
    {
      file: "core/agentid/der-reader.ts",
      find: '  if (end > bytes.length) throw derMalformed("truncated");\n',
      replace: '  if (end > bytes.length) setImmediate(() => { throw new Error("read beyond the end"); });\n',
    },
  ],
  "any-lifetime": [
    { file: "core/ttl.ts", find: "ttlSeconds >= TOO_LONG_SECONDS", replace: "ttlSeconds === Infinity" },
  ],
  "answer-before-record": [
    {
      file: "server/http/acts/identity.ts",
      find: "const appended = await services.ledger.settle(committed);",
      replace:
        'setTimeout(() => void services.ledger.settle(committed), 500); const appended = { eventId: committed.eventId, index: 0, acknowledgement: "later" };',
    },
    {
      file: "server/store/commands/control-record.ts",
      find: "const { lastId } = database.run(APPEND, intent, control);",
      replace: "const lastId = 0;",
    },
  ],
  "any-owners-agent": [
    {
      file: "server/http/relation.ts",
      find: '  return found?.ownerId === ownerId ? "descendant" : "other";',
      replace: '  return found === null ? "other" : "descendant";',
    },
  ],
  "stops-forgotten-at-start": [
    {
      file: "server/store/schema.ts",
      find: "  migrateSqlite(database, MIGRATIONS);\n",
      replace:
        '  migrateSqlite(database, MIGRATIONS);\n  database.exec("UPDATE instances SET revoked_epoch = NULL");\n',
    },
  ],
  "renewal-of-the-revoked": [
    {
      file: "server/store/reads.ts",
      find: "WHERE svids.svid_sha256 = ? AND instances.revoked_epoch IS NULL",
      replace: "WHERE svids.svid_sha256 = ?",
    },
    {
      file: "server/http/peer.ts",
      find: 'if (isRevoked) throw new TrustWardenError("identity_revoked", { instance_id: id });',
      replace: "void isRevoked;",
    },
    {
      file: "server/store/commands/live-instance.ts",
      find: 'if (instance.isRevoked) throw new TrustWardenError("identity_revoked", { instanceId });\n',
      replace: "",
    },
    {
      file: "server/store/commands/live-instance.ts",
      find: 'if (row.integerOrNull("revoked_epoch") !== null) throw new TrustWardenError("identity_revoked");\n',
      replace: "",
    },
    {
      file: DELEGATION,
      find: "const dead = line.find((link) => link.isRevoked || link.expiresAt <= now);",
      replace: "const dead = line.find((link) => link.expiresAt <= now);",
    },
  ],
  "enrolment-used-again": [
    {
      file: CLAIMS,
      find: "if (changes === 0) throw new TrustWardenError(ENROLMENT_CODES[via], { jti });",
      replace: "void changes;",
    },
  ],
  "any-child-scope": [{ file: DELEGATION, find: "  requireScope(delegation);\n", replace: "" }],
  "nothing-need-be-narrower": [
    { file: DELEGATION, find: "if (!isNarrower({ parent, child }))", replace: "if (child === undefined)" },
  ],
  "any-scope-spelling": [
    {
      file: "core/action.ts",
      find: "text.length > MAX_ACTION_CHARS || !ACTION.test(text)",
      replace: "text.length > 100_000",
    },
    {
      file: "core/scope.ts",
      find: "text.length > MAX_ATOM_CHARS || !ATOM.test(text)",
      replace: "text.length > 100_000",
    },
    {
      file: "core/scope.ts",
      find: "if (atoms.length > MAX_ATOMS)",
      replace: "if (atoms.length > 1_000_000)",
    },
  ],
  "own-scope-only": [
    {
      file: "core/agentscope/decide.ts",
      find: "chainScopes.every((scope) => isCovered(scope, action))",
      replace: "chainScopes.slice(-1).every((scope) => isCovered(scope, action))",
    },
  ],
  "descendants-live-on": [
    {
      file: "server/store/commands/revoke.ts",
      find: "SELECT instances.instance_id FROM tree CROSS JOIN instances WHERE instances.parent_instance_id = tree.id",
      replace:
        "SELECT instances.instance_id FROM tree CROSS JOIN instances WHERE instances.parent_instance_id = tree.id AND 0 = 1",
    },
    {
      file: "server/http/peer.ts",
      find: "for (const { instanceId: id, isRevoked, expiresAt } of chain) {",
      replace: "for (const { instanceId: id, isRevoked, expiresAt } of chain.slice(-1)) {",
    },
    {
      file: "sdk/visit-ports.ts",
      find: "ids: [...owner, agent.owner_id, agent.agent_id, agent.instance_id, ...agent.chain_instances],",
      replace: "ids: [agent.instance_id],",
    },
  ],
  "any-parent-of-a-name": [
    {
      file: "server/store/commands/registry.ts",
      find: 'if (row.text("owner_id") !== claim.ownerId || row.textOrNull("parent_agent_id") !== claim.parentAgentId) {',
      replace: "if (row === null) {",
    },
  ],
  "scope-by-hearsay": [
    {
      file: "server/approvals/decide-action.ts",
      find: "chainScopes: asked.chainScopes ?? agent.chain.map(({ scope }) => scope),",
      replace: "chainScopes: agent.chain.map(({ scope }) => (asked.job === null ? scope : [asked.job])),",
    },
  ],
  "dead-parents": [
    {
      file: "server/store/reads.ts",
      find: "WHERE svids.svid_sha256 = ? AND instances.revoked_epoch IS NULL",
      replace: "WHERE svids.svid_sha256 = ?",
    },
    { file: ISSUE, find: "  requireLivingLine(parentLine, now);\n", replace: "" },
    {
      file: DELEGATION,
      find: "const dead = line.find((link) => link.isRevoked || link.expiresAt <= now);",
      replace: "const dead = line.find((link) => link.expiresAt <= 0);",
    },
    {
      file: "server/store/commands/live-instance.ts",
      find: 'if (row.integerOrNull("revoked_epoch") !== null) throw new TrustWardenError("identity_revoked");\n',
      replace: "",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
