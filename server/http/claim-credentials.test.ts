/** What an agent that registered itself hears from another of the servers that share a store. */
import { randomBytes } from "node:crypto";
import { digestOfEnrolment } from "@trustwarden/core/agentid/enrolment.ts";
import { formatThumbprint } from "@trustwarden/core/crypto.ts";
import { expect, test } from "vitest";
import { proofOf } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { ALONE } from "../shared/sharing.ts";
import type { ClaimState } from "../store/claim-ports.ts";
import { verifyCollecting } from "./claim-credentials.ts";
import { Nonces } from "./nonces.ts";

const NOW = 1_800_000_000;
const CLAIM = "clm_01K0000000000000000000000A";

test("a server that has not heard of the claim or its answer yet asks before it says so", async () => {
  const signer = createTestSigner();
  const nonces = new Nonces((bytes) => new Uint8Array(randomBytes(bytes)));
  const answered: ClaimState = {
    claimId: CLAIM,
    thumbprint: formatThumbprint(signer.publicKey),
    wish: { path: "", name: "one", scope: [], ttl_seconds: 60, owner: null },
    expiresAt: NOW + 600,
    answer: { ownerId: "own_1", ticket: "signed" },
  };
  let here: ClaimState | undefined;
  const sharing = {
    ...ALONE,
    isShared: true,
    catchUp: async () => {
      here = answered;
    },
  };
  const reads = { findClaim: () => here };
  const { nonce } = nonces.issue(NOW);
  const proof = proofOf(signer, { nonce, enrolmentSha256: digestOfEnrolment(CLAIM) });
  const collecting = verifyCollecting({ reads, nonces, sharing }, { claim_id: CLAIM, ...proof }, NOW);
  expect((await collecting).enrolment).toEqual({ collecting: answered.answer });
});
