/**
 * A certificate of the web in two files, and how a listener follows them: a renewed certificate counts within seconds, a
 * broken pair is reported and the old one stays.
 */
import { readFileSync, statSync } from "node:fs";
import type { Server as PlainServer } from "node:http";
import { Server } from "node:https";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { ListenerName } from "./route.ts";
import type { EventLog } from "./services.ts";

/** How often the certificate files are looked at. */
const WATCH_MS = 5000;
/** Any right of the group or of others. */
const SHARED_BITS = 0o077;

/** Where the two are. */
export interface CertificatePair {
  /** PEM: leaf, then intermediates. */
  readonly certFile: string;
  /** PEM, readable by this user alone. */
  readonly keyFile: string;
}

/** Looks at the files every few seconds until `stop`; `reload` looks now. */
export function followCertificate({
  files,
  server,
  context,
  log,
  listener,
}: {
  readonly files: CertificateFiles;
  readonly server: Server | PlainServer;
  /** What the listener's TLS is besides its certificate. */
  readonly context: SecureContextOptions;
  readonly log: EventLog;
  readonly listener: ListenerName;
}): { reload(): void; stop(): void } {
  const reload = (): void => {
    try {
      if (files.readChanged() && server instanceof Server) {
        server.setSecureContext({ ...context, ...files.current });
        log.info({ listener }, "the web certificate was replaced");
      }
    } catch (error) {
      // Safe to go on: the certificate at hand stays, and clients refuse it by themselves once it has expired.
      const code = error instanceof TrustWardenError ? error.code : "internal";
      log.warn({ code }, "the web certificate files changed and cannot be used");
    }
  };
  const timer = setInterval(reload, WATCH_MS).unref();
  return { reload, stop: () => clearInterval(timer) };
}

/** Owns the pair at hand and how its files looked when it was read. */
export class CertificateFiles {
  readonly #listen: CertificatePair;
  readonly #setting: string;
  #stamp: string;
  #current: { readonly cert: string; readonly key: string };

  constructor(listen: CertificatePair, setting: string) {
    this.#listen = listen;
    this.#setting = setting;
    this.#stamp = this.#look();
    this.#current = this.#read();
  }

  get current(): { readonly cert: string; readonly key: string } {
    return this.#current;
  }

  /** Whether there is a new pair; a pair that does not fit is not taken, and looked at again when it changes. */
  readChanged(): boolean {
    const stamp = this.#look();
    if (stamp === this.#stamp) return false;
    this.#stamp = stamp;
    this.#current = this.#read();
    return true;
  }

  #look(): string {
    return [this.#listen.certFile, this.#listen.keyFile].map((path) => this.#stampOf(path)).join();
  }

  #stampOf(path: string): string {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats === undefined) throw this.#invalid("no such file");
    if (path === this.#listen.keyFile && (stats.mode & SHARED_BITS) !== 0) {
      throw new TrustWardenError("file_mode_too_open", { path, mode: (stats.mode & 0o777).toString(8) });
    }
    return `${stats.ino}:${stats.size}:${stats.mtimeMs}`;
  }

  #read(): { readonly cert: string; readonly key: string } {
    const { certFile, keyFile } = this.#listen;
    const pair = { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
    try {
      createSecureContext(pair);
    } catch (cause) {
      throw this.#invalid("not a certificate with its key", cause);
    }
    return pair;
  }

  #invalid(reason: string, cause?: unknown): TrustWardenError {
    return new TrustWardenError("config_invalid", { setting: this.#setting, reason }, { cause });
  }
}
