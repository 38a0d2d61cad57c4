/** Weakenings of the secrets broker: what lets an upstream's credential out. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const BROKER_WEAKENINGS = {
  "backups-hold-the-unseal-key": [
    {
      file: "server/backup/create-backup.ts",
      find: "    addFolders(writer, config.dataDir);\n",
      replace:
        '    addFolders(writer, config.dataDir);\n    addFile(writer, { path: "unseal", from: join(config.configDir, config.trustDomain + ".unseal") });\n',
    },
  ],
  "backups-open-to-everybody": [
    {
      file: "server/backup/create-backup.ts",
      find: "    const writer = new SealedWriter(part, recipient);\n",
      replace: "    const writer = new SealedWriter(part, null);\n",
    },
  ],
  "secret-kept-beside-its-settings": [
    {
      file: "server/broker/administration.ts",
      find: "const settings = formatSettings(secret.settings);",
      replace: "const settings = formatSettings({ ...secret.settings, source: { kept: secret.value } });",
    },
    {
      file: "server/broker/settings.ts",
      find: 'else if (Object.keys(settings.source).length > 0) malformed("source");',
      replace: "",
    },
  ],
  "echo-passed-on": [
    {
      file: "server/gateway/brokered-client.ts",
      find: "return injection?.redactor();",
      replace: "return undefined;",
    },
  ],
  "canary-let-through": [
    {
      file: "server/gateway/brokered-client.ts",
      find: "if (names.length === 0) return;",
      replace: "if (names.length >= 0) return;",
    },
  ],
  "erasure-keeps-the-file": [
    {
      file: "server/payloads/payload-store.ts",
      find: "if (existsSync(path)) {",
      replace: "if (path === eventId) {",
    },
  ],
  "model-text-unwatched": [
    {
      file: "server/gateway/brokered-client.ts",
      find: "if (canaries.isEmpty && injection === null) return null;",
      replace: "if (canaries !== undefined) return null;",
    },
  ],
  "database-role-outlives-agent": [
    {
      file: "server/gateway/postgresql/database-roles.ts",
      find: 'return this.#deps.mayHave(role) ? null : "agent";',
      replace: "return null;",
    },
  ],
  "ciphertext-bound-to-nothing": [
    {
      file: "server/broker/envelope.ts",
      find: "encodeCanonicalJson({ ...binding, part })",
      replace: "encodeCanonicalJson({ part })",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
