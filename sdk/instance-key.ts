/**
 * The private key of one SVID: made here, used here, gone with the process.
 *
 * The key lives in a closure. Nothing exports it, and what a logger, a serialiser or a debugger's `inspect` shows of
 * an `InstanceKey` is its public thumbprint. Node's TLS accepts no handle, so its clients get a
 * `SecureContext` and its servers, which take no context, an options object that hides the text from `inspect` and JSON.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import { inspect } from "node:util";
import { encodeSpki, formatThumbprintOf } from "@trustwarden/core/crypto.ts";
import { formatPem } from "@trustwarden/core/pem.ts";
import type { Signer } from "@trustwarden/core/signer.ts";

/** A P-256 key of this process; it can sign and open TLS connections, and cannot be read. */
export interface InstanceKey {
  readonly signer: Signer;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** RFC 7638, base64url. */
  readonly thumbprint: string;
  /** TLS 1.3 credentials of this key. @param svidChain - DER, leaf first. */
  readonly createTlsContext: (svidChain: readonly Uint8Array[]) => SecureContext;
  /** The same for a TLS server, which takes no context. @param svidChain - DER, leaf first. */
  readonly createTlsOptions: (svidChain: readonly Uint8Array[]) => TlsKeyOptions;
}

/** Key and certificates for `https.createServer`. Holds the key as text, since Node takes nothing else; not shown. */
export interface TlsKeyOptions {
  readonly key: string;
  readonly cert: string;
}

/** Makes a new key. Costs about 0.1 ms. */
export function createInstanceKey(): InstanceKey {
  return wrapKey(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
}

/** A key that its maker hands on, as the Workload API has to, with its text beside it. */
export interface DeliveredKey {
  readonly key: InstanceKey;
  /** PKCS#8 DER, unencrypted: for the workload, or for a file of mode 0600. */
  readonly pkcs8: Uint8Array;
}

/** Makes a new key for somebody else; its custody is `delivered`. */
export function createDeliveredKey(): DeliveredKey {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { key: wrapKey(privateKey), pkcs8: privateKey.export({ type: "pkcs8", format: "der" }) };
}

/** The key of PKCS#8 DER that this machine kept. */
export function openDeliveredKey(pkcs8: Uint8Array): DeliveredKey {
  const privateKey = createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
  return { key: wrapKey(privateKey), pkcs8 };
}

function wrapKey(privateKey: KeyObject): InstanceKey {
  const publicKey = createPublicKey(privateKey);
  const spki = encodeSpki(publicKey);
  const thumbprint = formatThumbprintOf(spki);
  const shown = `InstanceKey(${thumbprint})`;
  const key = {
    signer: createSigner(privateKey, publicKey),
    spki,
    thumbprint,
    createTlsContext: (svidChain: readonly Uint8Array[]) =>
      createSecureContext({ ...createTlsOptions(privateKey, svidChain), minVersion: "TLSv1.3" as const }),
    createTlsOptions: (svidChain: readonly Uint8Array[]) => createTlsOptions(privateKey, svidChain),
    toJSON: () => shown,
    [inspect.custom]: () => shown,
  };
  return Object.freeze(key);
}

/** PEM text of DER certificates, leaf first. */
export function formatPemChain(chain: readonly Uint8Array[]): string {
  return chain.map((der) => formatPem("CERTIFICATE", der)).join("");
}

function createSigner(privateKey: KeyObject, publicKey: KeyObject): Signer {
  return Object.freeze({
    algorithm: "ES256" as const,
    publicKey,
    sign: (data: Uint8Array) =>
      new Uint8Array(sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" })),
  });
}

function createTlsOptions(privateKey: KeyObject, svidChain: readonly Uint8Array[]): TlsKeyOptions {
  const shown = "TlsKeyOptions(hidden)";
  const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const options = {
    key,
    cert: formatPemChain(svidChain),
    toJSON: () => shown,
    [inspect.custom]: () => shown,
  };
  return options;
}
