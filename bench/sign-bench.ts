/** `sign`: issuing an X.509-SVID, against the one signature in it. */
import { sign } from "node:crypto";
import { formatSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import type { Bench } from "./bench.ts";
import { createDomain, createSigner, issueSvid } from "./domain.ts";
import { createRawKey } from "./raw-key.ts";

/** As long as what is signed of a leaf certificate. */
const TBS_BYTES = 420;

export const signBench: Bench = {
  id: "sign",
  what: "issue one X.509-SVID: point of the curve, build, sign; one in 64 parsed and verified",
  reference: "one raw P-256 signature, one thread",
  unit: "us",
  open: async () => {
    const domain = createDomain();
    const spki = encodeSpki(createSigner().publicKey);
    const id = formatSpiffeId(domain.authority.trustDomain, ["team", "finance", "payment-agent", "inst-1"]);
    const { privateKey } = createRawKey();
    const tbs = new Uint8Array(TBS_BYTES);
    return {
      product: { run: () => issueSvid(domain, id, spki) },
      reference: { run: () => sign("sha256", tbs, privateKey) },
    };
  },
};
