/** `sign` and `issue`: an X.509-SVID without and with the proof that each has before it leaves, against the one signature in it. */
import { sign } from "node:crypto";
import { formatSpiffeId, type SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import type { Bench } from "./bench.ts";
import { createDomain, createSigner, type Domain, issueSvid, signSvid } from "./domain.ts";
import { createRawKey } from "./raw-key.ts";

/** As long as what is signed of a leaf certificate. */
const TBS_BYTES = 420;

export const signBench: Bench = {
  id: "sign",
  what: "build and sign one X.509-SVID: point of the curve, stencil, signature",
  reference: "one raw P-256 signature, one thread",
  unit: "us",
  open: async () => openWith(signSvid),
};

export const issueBench: Bench = {
  id: "issue",
  what: "issue one X.509-SVID: build, sign, parse again, verify",
  reference: "one raw P-256 signature, one thread",
  unit: "us",
  open: async () => openWith(issueSvid),
};

function openWith(make: (domain: Domain, id: SpiffeId, spki: Uint8Array) => Uint8Array) {
  const domain = createDomain();
  const spki = encodeSpki(createSigner().publicKey);
  const id = formatSpiffeId(domain.authority.trustDomain, ["team", "finance", "payment-agent", "inst-1"]);
  const { privateKey } = createRawKey();
  const tbs = new Uint8Array(TBS_BYTES);
  return {
    product: { run: () => make(domain, id, spki) },
    reference: { run: () => sign("sha256", tbs, privateKey) },
  };
}
