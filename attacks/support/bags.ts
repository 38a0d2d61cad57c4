/** CMS bags that cost more than they are worth: built by hand, since no tool writes them. */
import { X509Certificate } from "node:crypto";
import type { TestCertificate } from "../../server/attest/signed-documents.test.support.ts";
import { der, RSA_ALGORITHM, rsaSpki } from "./der.ts";

const SIGNED_DATA = Buffer.from("06092a864886f70d010702", "hex");
const DATA = Buffer.from("06092a864886f70d010701", "hex");
const SHA256 = Buffer.from("300d06096086480165030402010500", "hex");
const SHA256_WITH_RSA = Buffer.from("300d06092a864886f70d01010b0500", "hex");
const EMPTY_NAME = der(0x30);
const SERIAL = der(0x02, Uint8Array.of(7));
const SIGNATURE_BYTES = 256;

/** base64 of SignedData with these certificates, whose signature is noise. */
export function bagOf(certificates: readonly Uint8Array[], content: string): string {
  const sid = der(0x30, EMPTY_NAME, SERIAL);
  const signature = der(0x04, Buffer.alloc(SIGNATURE_BYTES, 0x5a));
  const signer = der(0x30, der(0x02, Uint8Array.of(1)), sid, SHA256, RSA_ALGORITHM, signature);
  const inner = der(0x30, DATA, der(0xa0, der(0x04, Buffer.from(content))));
  const signedData = der(
    0x30,
    der(0x02, Uint8Array.of(1)),
    der(0x31, SHA256),
    inner,
    der(0xa0, ...certificates),
    der(0x31, signer),
  );
  return der(0x30, SIGNED_DATA, der(0xa0, signedData)).toString("base64");
}

/** A certificate around an RSA key of any size, which nobody has signed; the signer that `bagOf` names. */
export function unsignedCertificate(bits: number): Buffer {
  const times = ["20200101000000Z", "20491231235959Z"].map((time) => der(0x17, Buffer.from(time.slice(2))));
  const tbs = der(
    0x30,
    der(0xa0, der(0x02, Uint8Array.of(2))),
    SERIAL,
    SHA256_WITH_RSA,
    EMPTY_NAME,
    der(0x30, ...times),
    EMPTY_NAME,
    rsaSpki(bits, 3),
  );
  return der(0x30, tbs, SHA256_WITH_RSA, der(0x03, Buffer.alloc(SIGNATURE_BYTES + 1)));
}

/** DER of a certificate. */
export function rawOf({ pem }: TestCertificate): Uint8Array {
  return new X509Certificate(pem).raw;
}

/** base64 of constructed elements of indefinite length within one another. */
export function nestedBer(depth: number): string {
  return Buffer.concat([
    Buffer.alloc(2 * depth, Buffer.from([0x30, 0x80])),
    Buffer.alloc(2 * depth),
  ]).toString("base64");
}

/** base64 of very many small elements beside one another. */
export function wideBer(count: number): string {
  const elements = Buffer.alloc(2 * count, Buffer.from([0x05, 0x00]));
  return Buffer.concat([Buffer.from([0x30, 0x80]), elements, Buffer.alloc(2)]).toString("base64");
}
