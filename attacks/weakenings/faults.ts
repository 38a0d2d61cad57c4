/** Failures of machines, each at one point: a kill between two steps, an engine that traps. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const FAULTS = {
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
      find: "    const appended = await this.append(committed.entries);\n",
      replace:
        '    const appended = await this.append(committed.entries);\n    const said = Buffer.from(JSON.parse(Buffer.from(committed.entries.at(-1)).toString()).payload, "base64").toString();\n    if (said.includes(\'"kind":"issue"\') && said.includes("agt_")) process.kill(process.pid, "SIGKILL");\n',
    },
  ],
  "policy-traps": [
    {
      file: "server/opa/wasm.ts",
      find: "      return evaluateOnce(text);\n",
      replace: '        throw new WebAssembly.RuntimeError("unreachable");\n',
    },
  ],
  "policy-undefined": [
    {
      file: "server/opa/wasm.ts",
      find: "      return evaluateOnce(text);\n",
      replace: "        return undefined;\n",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
