/** Weakenings of attestation: whose word is taken for what a workload is, and where the server calls for it. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const ATTESTATION_WEAKENINGS = {
  "document-signed-by-anyone": [
    {
      file: "server/attest/signed-data.ts",
      find: "  verifyRsa({ key, digest, data: signed, signature: signer.signature, minRsaBits: MIN_RSA_BITS });\n",
      replace: "",
    },
  ],
  "calls-to-any-address": [
    {
      file: "server/attest/safe-fetch.ts",
      find: '  if (!addresses.every(isAllowed)) throw unavailable("the name leads to a forbidden address");\n',
      replace: "",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
