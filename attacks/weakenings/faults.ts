/** Failures of machines, each at one point: a kill between two steps, an engine that traps. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const FAULTS = {
  "few-connections": [
    {
      file: "server/http/listeners.ts",
      find: "const MAX_CONNECTIONS = 8192;\n",
      replace: "const MAX_CONNECTIONS = 96;\n",
    },
  ],
  "killed-before-commit": [
    {
      file: "server/store/writer-group.ts",
      find: '    database.exec("COMMIT");\n',
      replace:
        '    if (requests.some(({ kind }) => kind === "issue")) process.kill(process.pid, "SIGKILL");\n    database.exec("COMMIT");\n',
    },
  ],
  "killed-before-append": [
    {
      file: "server/http/acts/identity.ts",
      find: "  committed: Committed<IssuedIdentity>,\n): Promise<IdentityAnswer> {\n",
      replace:
        '  committed: Committed<IssuedIdentity>,\n): Promise<IdentityAnswer> {\n  setTimeout(() => process.kill(process.pid, "SIGKILL"), 30);\n  const append = services.ledger.append; services.ledger.append = (entries) => new Promise((resolve) => setTimeout(() => resolve(append.call(services.ledger, entries)), 200));\n',
    },
  ],
  "killed-before-answer": [
    {
      file: "server/ledger/ledger.ts",
      find: "    const appended = await this.append(committed.entries, this.#options.nameOwed?.(committed));\n",
      replace:
        '    const appended = await this.append(committed.entries, this.#options.nameOwed?.(committed));\n    const said = Buffer.from(JSON.parse(Buffer.from(committed.entries.at(-1)).toString()).payload, "base64").toString();\n    if (said.includes(\'"kind":"issue"\') && said.includes("agt_")) process.kill(process.pid, "SIGKILL");\n',
    },
  ],
  "policy-traps": [
    {
      file: "server/opa/wasm.ts",
      find: "      return evaluateOnce(text);\n",
      replace: '        throw new WebAssembly.RuntimeError("unreachable");\n',
    },
  ],
  "policy-traps-later": [
    {
      file: "server/opa/wasm.ts",
      find: "      return evaluateOnce(text);\n",
      replace:
        '      if (process.getBuiltinModule("node:fs").existsSync(process.env.TW_OUTAGE ?? "")) throw new WebAssembly.RuntimeError("unreachable");\n      return evaluateOnce(text);\n',
    },
  ],
  "policy-undefined": [
    {
      file: "server/opa/wasm.ts",
      find: "      return evaluateOnce(text);\n",
      replace: "        return undefined;\n",
    },
  ],
  "disk-waits-for-all": [
    {
      file: "server/http/acts/decisions.ts",
      find: "  const ports = createDecisionPorts(services, route);\n",
      replace:
        '  if ((await import("node:fs")).existsSync(process.env.TW_STALL)) globalThis.asked = (globalThis.asked ?? 0) + 1;\n  const ports = createDecisionPorts(services, route);\n',
    },
    {
      file: "server/store/posix-wal-segment.ts",
      find: "    const start = this.#end;\n",
      replace:
        '    const { readFileSync } = await import("node:fs");\n    const wanted = () => { try { return Number(readFileSync(process.env.TW_STALL, "utf8")); } catch { return 0; } };\n    while ((globalThis.asked ?? 0) < wanted()) await new Promise((resolve) => setTimeout(resolve, 10));\n    const start = this.#end;\n',
    },
  ],
  "no-outcomes": [
    {
      file: "server/http/acts/outcomes.ts",
      find: '  const envelopes = "outcome" in body ? [body.outcome] : body.outcomes;\n',
      replace:
        '  if ((await import("node:fs")).existsSync(process.env.TW_OUTAGE)) throw new TrustWardenError("ledger_unavailable");\n  const envelopes = "outcome" in body ? [body.outcome] : body.outcomes;\n',
    },
  ],
  "small-spool": [
    {
      file: "sdk/outcome-spool.ts",
      find: "const MAX_WAITING = 1024;\n",
      replace: "const MAX_WAITING = 4;\n",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
