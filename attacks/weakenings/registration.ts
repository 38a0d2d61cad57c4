/** Edits under which owners have as many agents as they like, go on when they have gone, and are given what they did not ask for. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const REGISTRATION_WEAKENINGS = {
  "quota-uncounted": [
    {
      file: "server/store/commands/registry.ts",
      find: "if (count === undefined || count >= quotas[quota]) {",
      replace: "if (count === undefined) {",
    },
  ],
  "agents-outlive-owners": [
    {
      file: "server/store/commands/revoke.ts",
      find: "UPDATE instances SET revoked_epoch = ? WHERE revoked_epoch IS NULL AND owner_id = ? RETURNING expires_at",
      replace:
        "UPDATE instances SET revoked_epoch = ? WHERE revoked_epoch IS NULL AND owner_id = ? AND 0 = 1 RETURNING expires_at",
    },
    {
      file: "server/http/peer.ts",
      find: "if (reads.findOwner(ownerId)?.isRevoked === false) return;",
      replace: "if (reads.findOwner(ownerId) !== undefined) return;",
    },
  ],
  "owners-told-apart": [
    {
      file: "core/error.ts",
      find: "owner_unknown: { status: 401, message: NOT_AUTHENTICATED },",
      replace: "owner_unknown: { status: 404, message: NOT_AUTHENTICATED },",
    },
  ],
  "one-seed-for-all": [
    {
      file: "server/signer/unseal-key.ts",
      find: "encodeBase64url(random(KEY_BYTES))",
      replace: "encodeBase64url(new Uint8Array(KEY_BYTES))",
    },
  ],
  "work-unasked": [
    {
      file: "server/store/commands/velocity.ts",
      find: "if (workBits >= bits) return;",
      replace: "return;",
    },
  ],
  "claims-for-any-key": [
    {
      file: "server/http/claim-credentials.ts",
      find: "if (claim?.thumbprint !== proof.thumbprint)",
      replace: "if (claim === undefined)",
    },
    {
      file: "server/http/enrolment-credentials.ts",
      find: "childThumbprint: ticket.holder_thumbprint ?? null,",
      replace: "childThumbprint: null,",
    },
  ],
  "transfers-by-one": [
    {
      file: "server/http/acts/transfers.ts",
      find: `if (claimed.to !== ownerId) throw invalid("to");`,
      replace: "",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
