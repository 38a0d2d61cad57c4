/** `sign-pkcs11`: the same as `issue` with the intermediate's key in SoftHSM, where it is installed. */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createAuthority } from "@trustwarden/core/agentid/authority.ts";
import { formatSpiffeId, parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { createTokenKey, openTokenSigner } from "../server/signer/pkcs11.ts";
import type { Bench } from "./bench.ts";
import { createSigner, issueSvid } from "./domain.ts";

const MODULES = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
const HOUR_SECONDS = 3600;
/** As long as what is signed of a leaf certificate. */
const TBS_BYTES = 420;
const PIN = "1234";

export const signTokenBench: Bench = {
  id: "sign-pkcs11",
  what: "issue one X.509-SVID with the intermediate's key in SoftHSM (PKCS#11)",
  reference: "one signature in SoftHSM, one thread",
  unit: "us",
  isAvailable: () => moduleOf() !== undefined,
  open: async ({ createDirectory }) => {
    const issuer = openToken(createDirectory());
    const now = Math.floor(Date.now() / 1000);
    const authority = createAuthority({
      trustDomain: parseTrustDomain("bench.test"),
      rootSigner: createSigner(),
      intermediateSigner: issuer,
      jwtSigner: createSigner(),
      random: randomBytes,
      now: now - HOUR_SECONDS,
    });
    const domain = { authority, issuer, now };
    const spki = encodeSpki(createSigner().publicKey);
    const id = formatSpiffeId(authority.trustDomain, ["team", "finance", "payment-agent", "inst-1"]);
    const tbs = new Uint8Array(TBS_BYTES);
    return {
      product: { run: () => issueSvid(domain, id, spki) },
      reference: { run: () => issuer.sign(tbs) },
    };
  },
};

function moduleOf(): string | undefined {
  return MODULES.find((path) => existsSync(path));
}

/** A key in a new token. The library reads where its tokens are from the environment, and nowhere else. */
function openToken(folder: string): Signer {
  mkdirSync(join(folder, "tokens"), { mode: 0o700 });
  const configuration = join(folder, "softhsm2.conf");
  writeFileSync(
    configuration,
    `directories.tokendir = ${join(folder, "tokens")}\nobjectstore.backend = file\n`,
  );
  process.env.SOFTHSM2_CONF = configuration;
  const place = { module: moduleOf() ?? "", token: "bench", pin: PIN };
  const args = ["--init-token", "--free", "--label", place.token, "--pin", PIN, "--so-pin", "5678"];
  const { status, stderr } = spawnSync("softhsm2-util", args);
  if (status !== 0) throw new Error(`softhsm2-util: ${stderr}`);
  return openTokenSigner(place, createTokenKey(place, (length) => randomBytes(length)).id);
}
