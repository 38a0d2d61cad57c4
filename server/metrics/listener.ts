/**
 * The listener that figures are read from, apart from every other, so that whoever may read them reaches nothing else.
 *
 * On this machine it speaks plain HTTP, as every collector does; beyond it TLS 1.3 with the web's certificates, and only
 * to readers with a certificate of the configured authorities (`requireProtectedMetrics`).
 */
import { constants } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer as createPlainServer } from "node:http";
import { createServer } from "node:https";
import { isIPv6 } from "node:net";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import {
  closeListener,
  createListener,
  HTTP_OPTIONS,
  knownHosts,
  listenOn,
  portOf,
} from "../http/listeners.ts";
import type { Route } from "../http/route.ts";
import { serve } from "../http/serve.ts";
import type { Services } from "../http/services.ts";
import { readPrivateFile } from "../signer/private-file.ts";
import type { MetricsSettings } from "./config.ts";

/** The listener, listening. */
export interface MetricsListener {
  readonly url: string;
  close(): Promise<void>;
}

/** @throws TrustWardenError `config_invalid`, `file_mode_too_open`, `bind_refused`. */
export async function openMetricsListener(
  services: Services,
  listening: {
    readonly routes: readonly Route[];
    readonly settings: MetricsSettings;
    readonly hosts: readonly string[];
  },
): Promise<MetricsListener> {
  const { routes, settings, hosts } = listening;
  const { host, port, tls } = settings;
  const material = tls === undefined ? undefined : readMaterial(tls);
  const opened = createListener(
    {
      routes,
      listener: "metrics",
      // Collectors call a pod by its address; whoever has no certificate has not got as far as here.
      rules: { hosts: tls === undefined ? knownHosts({ host, hosts }) : "any", allowsUpgrade: false },
      serve: (route, arrival) => serve(services, route, arrival),
      log: services.log,
    },
    (handler) =>
      material === undefined
        ? createPlainServer(HTTP_OPTIONS, handler)
        : createServer({ ...HTTP_OPTIONS, ...material }, handler),
  );
  try {
    await listenOn(opened, { host, port });
  } catch (error) {
    await closeListener(opened);
    throw error;
  }
  const name = isIPv6(host) ? `[${host}]` : host;
  return {
    url: `${tls === undefined ? "http" : "https"}://${name}:${portOf(opened)}`,
    close: () => closeListener(opened),
  };
}

function readMaterial({ certFile, keyFile, clientCaFile }: NonNullable<MetricsSettings["tls"]>) {
  try {
    return {
      cert: readFileSync(certFile, "utf8"),
      key: Buffer.from(readPrivateFile(keyFile)),
      ca: readFileSync(clientCaFile, "utf8"),
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: "TLSv1.3",
      // A resumed session would skip the check of the reader's certificate.
      secureOptions: constants.SSL_OP_NO_TICKET,
    } as const;
  } catch (cause) {
    if (cause instanceof TrustWardenError) throw cause;
    throw new TrustWardenError(
      "config_invalid",
      { setting: "metrics.tls", reason: "the files cannot be read" },
      { cause },
    );
  }
}
