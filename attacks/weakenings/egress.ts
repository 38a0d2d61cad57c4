/** Weakenings of the ways around: what lets an agent reach whom nobody named, go past a gateway, or find a credential. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const EGRESS_WEAKENINGS = {
  "every-place-is-named": [
    {
      file: "core/gateway/plan-egress.ts",
      find: "if (!placesOf(settings).some((pattern) => isNamed(pattern, place)))",
      replace: "if (placesOf(settings).every((pattern) => isNamed(pattern, place)))",
    },
  ],
  "reads-before-their-record": [
    {
      file: "server/gateway/gateway-ports.ts",
      find: "  services.ledger.requireAcceptable(entries);\n",
      replace: "",
    },
  ],
  "receipts-of-any-gateway": [
    {
      file: "sdk/brought-call.ts",
      find: '  if (intent.aud !== gateway) throw invalid("another gateway");\n',
      replace: "  void gateway;\n",
    },
  ],
  "receipts-of-any-place": [
    {
      file: "sdk/brought-call.ts",
      find: '  if (intent.aud !== gateway) throw invalid("another gateway");\n',
      replace: "  void gateway;\n",
    },
    {
      file: "sdk/receipt.ts",
      find: 'if (decision.enforcement !== enforcement) throw invalid("enforcement");',
      replace: "void enforcement;",
    },
  ],
  "environment-as-it-is": [
    {
      file: "node/launcher/environment.ts",
      find: "const reason = reasonToRemove(name, value);",
      replace: 'const reason = name === "" ? reasonToRemove(name, value) : undefined;',
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
