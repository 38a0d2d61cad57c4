/** A certificate of the web for loopback, and the authority that made it, by OpenSSL. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Files as an operator has them from an authority of the web. */
export interface WebCertificate {
  readonly certFile: string;
  readonly keyFile: string;
  /** PEM of what has to be believed. */
  readonly ca: string;
  readonly remove: () => void;
}

/** A fresh self-signed certificate for `127.0.0.1` and `localhost`. */
export function createWebCertificate(): WebCertificate {
  const folder = mkdtempSync(join(tmpdir(), "tw-web-"));
  const [certFile, keyFile] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  execFileSync(
    "openssl",
    [
      ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost".split(
        " ",
      ),
      ...["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", keyFile, "-out", certFile],
    ],
    { stdio: "ignore" },
  );
  chmodSync(keyFile, 0o600);
  const remove = () => rmSync(folder, { recursive: true, force: true });
  return { certFile, keyFile, ca: readFileSync(certFile, "utf8"), remove };
}
