/** Signed documents as OpenSSL makes them: an independent hand for the CMS reader. */
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folder = mkdtempSync(join(tmpdir(), "signed-documents-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const openssl = (...args: readonly string[]) =>
  execFileSync("openssl", args, { stdio: ["ignore", "pipe", "ignore"] });

/** A certificate and its key, as files and as text. */
export interface TestCertificate {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly pem: string;
}

export interface CertificateOptions {
  readonly name?: string;
  readonly bits?: number;
  readonly issuer?: TestCertificate;
  readonly isCa?: boolean;
  readonly serial?: number;
  /** Subject alternative name. */
  readonly san?: string;
  readonly curve?: string;
}

/** A certificate for signing, by itself or by its issuer. */
export function createCertificate(options: CertificateOptions = {}): TestCertificate {
  const { name = "Test Signer", bits = 2048, issuer, isCa = false, serial = 7, san, curve } = options;
  const base = join(folder, randomUUID());
  const [keyFile, certificateFile] = [`${base}.key`, `${base}.pem`];
  const usage = isCa ? "keyUsage=critical,keyCertSign" : "keyUsage=critical,digitalSignature";
  openssl(
    ...[
      "req",
      "-x509",
      "-days",
      "3650",
      "-nodes",
      "-subj",
      `/O=Test/CN=${name}`,
      "-set_serial",
      String(serial),
    ],
    ...[
      "-newkey",
      ...(curve === undefined ? [`rsa:${bits}`] : ["ec", "-pkeyopt", `ec_paramgen_curve:${curve}`]),
    ],
    ...["-addext", `basicConstraints=critical,CA:${isCa ? "TRUE" : "FALSE"}`, "-addext", usage],
    ...(san === undefined ? [] : ["-addext", `subjectAltName=${san}`]),
    ...(issuer === undefined ? [] : ["-CA", issuer.certificateFile, "-CAkey", issuer.keyFile]),
    ...["-keyout", keyFile, "-out", certificateFile],
  );
  return { keyFile, certificateFile, pem: readFileSync(certificateFile, "utf8") };
}

export interface SigningOptions {
  readonly signer: TestCertificate;
  /** Certificates to put into the bag beside the signer's. */
  readonly bag?: readonly TestCertificate[];
  /** `false` leaves the signer's own certificate out. */
  readonly hasSigner?: boolean;
  /** Indefinite lengths and content in pieces, as some services write. */
  readonly isStreamed?: boolean;
  readonly hasAttributes?: boolean;
  readonly isDetached?: boolean;
  readonly digest?: string;
  /** A second signer. */
  readonly second?: TestCertificate;
}

/** base64 of CMS SignedData over the document. */
export function signDocument(document: string, options: SigningOptions): string {
  const {
    signer,
    bag = [],
    hasSigner = true,
    isStreamed = false,
    hasAttributes = true,
    isDetached = false,
  } = options;
  const input = join(folder, randomUUID());
  writeFileSync(input, document);
  const bagFile = `${input}.bag`;
  writeFileSync(bagFile, bag.map(({ pem }) => pem).join(""));
  const der = openssl(
    ...["cms", "-sign", "-binary", "-outform", "DER", "-md", options.digest ?? "sha256", "-in", input],
    ...["-signer", signer.certificateFile, "-inkey", signer.keyFile],
    ...(options.second === undefined
      ? []
      : ["-signer", options.second.certificateFile, "-inkey", options.second.keyFile]),
    ...(isDetached ? [] : ["-nodetach"]),
    ...(hasSigner ? [] : ["-nocerts"]),
    ...(isStreamed ? ["-stream"] : []),
    ...(hasAttributes ? [] : ["-noattr"]),
    ...(bag.length === 0 ? [] : ["-certfile", bagFile]),
  );
  return der.toString("base64");
}
