/** Who is told of a stop, and what one listener can do to the others. */

import { createTestDomain, NOW } from "@trustwarden/core/agentid/certificate.test.support.ts";
import { issueCertificateRevocationList } from "@trustwarden/core/agentid/certificate-revocation-list.ts";
import { formatPem } from "@trustwarden/core/pem.ts";
import { expect, it } from "vitest";
import type { Notice } from "./runtime.ts";
import { StopWatch } from "./stop-watch.ts";

const SERIAL = "2a";

it("tells everybody of a stop, also when one of them fails", async () => {
  const { intermediate, signers } = createTestDomain();
  const list = issueCertificateRevocationList({
    ca: intermediate,
    signer: signers.intermediate,
    number: 1,
    now: NOW,
    ttlSeconds: 3600,
    revoked: [{ serialHex: SERIAL, revokedAt: NOW, reason: "privilege_withdrawn" }],
  });
  const body = new TextEncoder().encode(formatPem("X509 CRL", list));
  const notices: Notice[] = [];
  const watch = new StopWatch({
    readPublic: () => Promise.resolve({ status: 200, body }),
    runtime: { notify: (notice) => void notices.push(notice) },
  });
  const told = Promise.withResolvers<void>();
  watch.watch(
    () => SERIAL,
    () => {
      throw new Error("a listener of somebody else's");
    },
  );
  watch.watch(() => SERIAL, told.resolve);
  await told.promise;
  expect(notices.map(({ code }) => code)).toEqual(["internal"]);
  const again = Promise.withResolvers<void>();
  watch.watch(() => SERIAL, again.resolve);
  await again.promise;
});
