/** Weakenings of the SDK: whom an agent believes, and which answer. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const SDK_WEAKENINGS = {
  "server-unpinned": [
    {
      file: "sdk/first-contact.ts",
      find: "  if (target === pin) return;\n",
      replace: "  if (target.length === pin.length) return;\n",
    },
  ],
  "verifier-unnamed": [
    {
      file: "sdk/agent-fetch.ts",
      find: "const isNamed = name === undefined || verifierNameOf(verifier) === name;",
      replace: "const isNamed = name === undefined || verifierNameOf(verifier) !== undefined;",
    },
  ],
  "success-without-proof": [
    {
      file: "sdk/answer-receipt.ts",
      find: "if (header === undefined && !isSuccess) return;",
      replace: "if (header === undefined) return;",
    },
  ],
  "routes-of-anybody": [
    {
      file: "sdk/peer-routes.ts",
      find: "if (parseSpiffeId(verifier) !== peer) {",
      replace: 'if (parseSpiffeId(verifier) === "") {',
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
