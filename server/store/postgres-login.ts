/** What a login at PostgreSQL is made of in the configuration: names, and the files that hold what opens. */
import { readFileSync } from "node:fs";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { PostgresLogin } from "./postgres-connect.ts";

/** Where a database is and who asks, as it is configured; may cross to another thread. */
export interface LoginSettings {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly passwordFile?: string | undefined;
  readonly tls?:
    | {
        readonly caFile: string;
        readonly certFile?: string | undefined;
        readonly keyFile?: string | undefined;
      }
    | undefined;
}

/**
 * The login; its password is read when it is asked for.
 *
 * @param setting - which one names the database.
 * @param readPrivateFile - refuses a file that others may read.
 * @throws TrustWardenError `config_invalid`, `file_mode_too_open`.
 */
export function openPostgresLogin(
  { passwordFile, tls, ...place }: LoginSettings,
  setting: string,
  readPrivateFile: (path: string) => Uint8Array,
): PostgresLogin {
  const read = (file: string) => parseUtf8(readPrivateFile(file)).trim();
  const password = () => {
    if (passwordFile !== undefined) return read(passwordFile);
    const reason = "the database wants a password";
    throw new TrustWardenError("config_invalid", { setting: `${setting}.passwordFile`, reason });
  };
  if (tls === undefined) return { ...place, password };
  const { caFile, certFile, keyFile } = tls;
  const own =
    certFile === undefined || keyFile === undefined
      ? {}
      : { cert: readPublicFile(`${setting}.tls.certFile`, certFile), key: read(keyFile) };
  return { ...place, password, tls: { ca: readPublicFile(`${setting}.tls.caFile`, caFile), ...own } };
}

/** @throws TrustWardenError `config_invalid`. */
export function readPublicFile(setting: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new TrustWardenError("config_invalid", { setting, reason: "cannot be read" }, { cause });
  }
}
