/** Weakenings of decisions, of the ledger and of the protocol between agent, service and server. */
import type { SourceEdit } from "../source-edit.ts";

const CONTROL_PORTS = "server/http/control-ports.ts";
const DECISION_PORTS = "server/http/decision-ports.ts";
const SEEN = "server/ledger/seen-intents.ts";
const VISIT = "sdk/visit.ts";

/** Edits by name. */
export const DECISIONS_WEAKENINGS = {
  "envelope-signature-unchecked": [
    {
      file: "core/dsse.ts",
      find: "if (!isP256Signature(key, pae, signature)) {",
      replace: "if (key === undefined) {",
    },
  ],
  "no-policy-allows": [
    {
      file: "core/agentscope/decide.ts",
      find: "?? reasonsWithoutPolicy(question);",
      replace: "?? [];",
    },
  ],
  "policies-unproven": [
    {
      file: "server/store/commands/load-policy.ts",
      find: "  if (version <= current) throw",
      replace: "  if (version < 0) throw",
    },
    {
      file: "core/agentscope/policy-bundle.ts",
      find: '    throw untrusted("signature");\n',
      replace: "",
    },
  ],
  "any-builtin": [
    {
      file: "server/opa/wasm.ts",
      find: "  if (hostBuiltins !== undefined) requireKnownBuiltins(instance, hostBuiltins);\n",
      replace: "",
    },
  ],
  "targets-resolved": [
    {
      file: "core/request-target.ts",
      find: 'const segments = path === "/" ? [] : path.slice(1).split("/");',
      replace:
        'const segments = decodeURIComponent(new URL(path, "https://here").pathname).slice(1).split("/").filter((segment) => segment !== "");',
    },
  ],
  "any-action-text": [
    {
      file: "core/action.ts",
      find: "text.length > MAX_ACTION_CHARS || !ACTION.test(text)",
      replace: "text.length > MAX_ACTION_CHARS",
    },
  ],
  "allow-is-cached": [
    {
      file: DECISION_PORTS,
      find: "decided = await decideVisit(services, arrival, caller);",
      replace:
        "decided = await (globalThis.decided ??= new Map()).getOrInsertComputed(caller.agent.instanceId + caller.action, () => decideVisit(services, arrival, caller)); decided = { ...decided, decision: { ...decided.decision, epoch: caller.epoch } };",
    },
  ],
  "approval-used-again": [
    {
      file: "server/store/commands/approvals.ts",
      find: "if (database.run(USE, command.usedBy, command.id).changes === 0)",
      replace: "if (database.run(USE, command.usedBy, command.id).changes === 2)",
    },
  ],
  "destruction-asks-nobody": [
    {
      file: "server/gateway/gateway-ports.ts",
      find: "const { decision, approval } = await decideAction(services, asked, namedBy(arrival, caller));",
      replace:
        'const { decision, approval } = await decideAction(services, { ...asked, enforcement: "service" }, namedBy(arrival, caller));',
    },
  ],
  "labels-forgotten": [
    {
      file: "server/approvals/decide-action.ts",
      find: "  if (labels.length === 0) return;",
      replace: "  if (labels.length >= 0) return;",
    },
  ],
  "freeze-ignored": [
    {
      file: "server/approvals/decide-action.ts",
      find: "  return until === null || clock.trustedSeconds() < until ? freeze : undefined;",
      replace: "  return until !== until || clock === null ? freeze : undefined;",
    },
  ],
  "damage-overlooked": [
    {
      file: "core/agentledger/recovery.ts",
      find: 'if (!isEqualBytes(rootOfEdge(edge), state.root)) throw corrupt("tiles at the edge do not give the root");',
      replace: "",
    },
    {
      file: "core/agentledger/recovery.ts",
      find: "    if (hash === undefined || !isEqualBytes(leafHash(entry), hash)) {",
      replace: "    if (hash === undefined) {",
    },
    {
      file: "core/agentledger/recovery.ts",
      find: "if (!isEqualBytes(await existing(tree.readRoot(size)), root))",
      replace: "if ((await existing(tree.readRoot(size))).length !== root.length)",
    },
    {
      file: "core/agentledger/recovery.ts",
      find: "if (!isEqualBytes(await existing(tree.readRoot(mark.size)), mark.root)) {",
      replace: "if (mark.size < 0) {",
    },
    {
      file: "core/agentledger/prover.ts",
      find: "if (!isEqualBytes(leafHash(entry), await tree.readLeafHash(index))) {",
      replace: "if (index < 0) {",
    },
    {
      file: "core/agentledger/prover.ts",
      find: "    if (!isEqualBytes(leafHash(entry), expected))\n",
      replace: "    if (expected.length === 0)\n",
    },
  ],
  "svids-judged-by-the-auditors-clock": [
    {
      file: "core/agentledger/svid-directory.ts",
      find: "    const verified = this.#verifier.verifyChain(chain, at);",
      replace: "    const verified = this.#verifier.verifyChain(chain, Math.floor(Date.now() / 1000));",
    },
  ],
  "record-signature-unchecked": [
    {
      file: "core/agentledger/audit-records.ts",
      find: "      verifyRecord(record, svid);\n",
      replace: "",
    },
  ],
  "rollback-overlooked": [
    {
      file: "core/agentledger/recovery.ts",
      find: "  if (mark.size > checkpoint.size) {",
      replace: "  if (mark.size > checkpoint.size) return;\n  if (mark.size < 0) {",
    },
    {
      file: "server/parts.ts",
      find: "if (mark !== null && mark.epoch > epoch) {",
      replace: "if (mark !== null && mark.epoch < 0) {",
    },
  ],
  "refusals-unrecorded": [
    {
      file: CONTROL_PORTS,
      find: "if (!isMutating(route) || !isRefusal) return;",
      replace: "if (error !== undefined) return;",
    },
  ],
  "intent-for-any-request": [
    { file: VISIT, find: 'if (action !== match.action) throw mismatch("action");', replace: "" },
    {
      file: VISIT,
      find: 'if (resource !== match.resource) throw mismatch("resource");',
      replace: "",
    },
    {
      file: "core/intent.ts",
      find: "if (intent.request === null || !isEqualSecret(encodeUtf8(intent.request), expected)) {",
      replace: "if (intent.request === null || expected.length === 0) {",
    },
  ],
  "event-id-used-again": [
    {
      file: SEEN,
      find: "    if (seen !== undefined) {\n",
      replace: "    if (seen?.payloadSha256 === intent.payloadSha256) {\n",
    },
  ],
  "any-audience": [
    {
      file: "core/intent.ts",
      find: 'if (intent.aud !== audience) throw new TrustWardenError("intent_audience", { audience: intent.aud });',
      replace: "void audience;",
    },
  ],
  "filters-as-text": [
    {
      file: "server/store/index/texts.ts",
      find: 'this.#findText = database.prepare("SELECT text FROM texts WHERE id = ?");',
      replace:
        'this.#findText = database.prepare("SELECT text FROM texts WHERE id = ?"); Object.assign(this, { database });',
    },
    {
      file: "server/store/index/texts.ts",
      find: "const row = this.#findNumber.get(text);",
      replace:
        'const row = this.database.prepare("SELECT id FROM texts WHERE text = \'" + text + "\'").get();',
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
