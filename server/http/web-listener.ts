/**
 * The listeners for those who know only the web's certificates.
 *
 * `web` is public: other trust domains fetch our bundle here (`https_web`), clouds and model providers the keys of our
 * JWT-SVIDs. It serves public rows, and the OAuth endpoints to clients with an assertion; it asks nobody for a
 * certificate. `policy` is for enforcement points and engines that others wrote, which cannot check a SPIFFE ID: they
 * know us by a name, and prove themselves by their SVID.
 *
 * Both follow their certificate files: a renewed certificate counts within seconds, a broken pair is reported and the
 * old one stays.
 *
 * @see SPIFFE Federation §5.1; Mozilla Server Side TLS, intermediate
 */
import { constants } from "node:crypto";
import { createServer } from "node:https";
import { createDoor } from "./door.ts";
import {
  ASKING,
  closeListener,
  createListener,
  HTTP_OPTIONS,
  headersOfDialect,
  knownHosts,
  listenOn,
  portOf,
} from "./listeners.ts";
import type { Route } from "./route.ts";
import { serve } from "./serve.ts";
import type { Services } from "./services.ts";
import { CertificateFiles, followCertificate } from "./web-certificate.ts";

const HANDSHAKE_TIMEOUT_MS = 10_000;
/** For TLS 1.2; version 1.3 has only suites of this kind. */
const CIPHERS = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
].join(":");
/** A resumed session would skip the check of the peer's chain (D9). */
const TLS = {
  web: { minVersion: "TLSv1.2", ciphers: CIPHERS },
  policy: { minVersion: "TLSv1.3", secureOptions: constants.SSL_OP_NO_TICKET },
} as const;
/** Where each is configured. */
const SETTINGS = { web: "federation.web", policy: "policy.listener" } as const;

/** Where to listen, and with which certificate. */
export interface WebListen {
  readonly host: string;
  readonly port: number;
  /** Names by which clients may call, besides the host itself and the loopback names. */
  readonly hosts: readonly string[];
  /** PEM: leaf, then intermediates. */
  readonly certFile: string;
  /** PEM, readable by this user alone. */
  readonly keyFile: string;
}

/** The listener, listening. */
export interface WebListener {
  readonly port: number;
  /** Looks at the certificate files now, as happens by itself every few seconds. */
  reload(): void;
  close(): Promise<void>;
}

/**
 * Opens the listener.
 *
 * @throws TrustWardenError `config_invalid` when the files are no certificate with its key, `file_mode_too_open`,
 *   `bind_refused`.
 */
export async function openWebListener(options: {
  readonly services: Services;
  readonly routes: readonly Route[];
  readonly listen: WebListen;
  readonly listener: keyof typeof TLS;
}): Promise<WebListener> {
  const { services, routes, listen, listener } = options;
  const files = new CertificateFiles(listen, SETTINGS[listener]);
  const tls = TLS[listener];
  const opened = createListener(
    {
      routes,
      listener,
      rules: { hosts: knownHosts(listen), allowsUpgrade: false },
      serve: (route, arrival) => serve(services, route, arrival),
      headersOf: (route) => headersOfDialect(services, route),
      log: services.log,
    },
    (handler) =>
      createServer(
        {
          ...HTTP_OPTIONS,
          ...tls,
          ...(listener === "policy" ? ASKING : {}),
          ...files.current,
          handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
        },
        createDoor(services, routes)(handler),
      ),
  );
  try {
    await listenOn(opened, listen);
  } catch (error) {
    await closeListener(opened);
    throw error;
  }
  const followed = followCertificate({
    files,
    server: opened.server,
    context: tls,
    log: services.log,
    listener,
  });
  return {
    port: portOf(opened),
    reload: followed.reload,
    close: () => {
      followed.stop();
      return closeListener(opened);
    },
  };
}
