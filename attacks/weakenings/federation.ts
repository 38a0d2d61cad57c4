/** Weakenings of federation: whose bundle is believed, and who of a federated trust domain is somebody here. */
import type { SourceEdit } from "../source-edit.ts";

const FEDERATION = "core/agentid/federation.ts";

/** Edits by name. */
export const FEDERATION_WEAKENINGS = {
  "any-foreign-workload": [
    {
      file: "server/store/federation-rows.ts",
      find: 'const FIND_FOREIGN = "SELECT instance_id FROM foreign_agents WHERE spiffe_id = ?";',
      replace: `const FIND_FOREIGN = "SELECT instance_id FROM foreign_agents WHERE ? <> ''";`,
    },
    {
      file: "server/http/peer.ts",
      find: "if (issued?.instanceId !== instanceId || instance?.spiffeId !== svid.id) {",
      replace: "if (issued?.instanceId !== instanceId || instance === undefined) {",
    },
  ],
  "bundles-claim-anything": [
    {
      file: FEDERATION,
      find: 'if (uris.some((uri) => uri !== own)) throw refused("an authority of another trust domain");',
      replace: "if (uris.length > 9) throw refused(own);",
    },
    {
      file: FEDERATION,
      find: 'if (keysOf(other).some((key) => keys.has(key))) throw refused("a key of another trust domain");',
      replace: 'if (keys.size === 0) throw refused("no keys");',
    },
  ],
  "bundles-from-anywhere-and-anytime": [
    {
      file: "server/federation/fetch-bundle.ts",
      find: 'if (fetch.endpoint.profile === "https_web" && target.origin !== first.origin) {',
      replace: 'if (fetch.endpoint.profile === "https_web" && first.origin === "") {',
    },
    {
      file: FEDERATION,
      find: "if (bundle.sequence < current.sequence) throw rollback(bundle, current);",
      replace: "",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
