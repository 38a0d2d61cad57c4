/**
 * The console's listener: browsers of people, on an origin of its own.
 *
 * It serves the rows of the one route table that people may ask, and takes a session where the others take an SVID. On
 * this machine it may speak plain HTTP, to `localhost` alone, which browsers treat as secure; anywhere else it needs a
 * certificate. The only name it answers to is that of its origin, which is what passkeys and cookies are bound to.
 */
import { createServer as createPlainServer } from "node:http";
import { createServer } from "node:https";
import { isIPv6 } from "node:net";
import { createDoor } from "../http/door.ts";
import { closeListener, createListener, HTTP_OPTIONS, listenOn, portOf } from "../http/listeners.ts";
import type { Route } from "../http/route.ts";
import { serve } from "../http/serve.ts";
import type { Services } from "../http/services.ts";
import { CertificateFiles, followCertificate } from "../http/web-certificate.ts";
import type { ConsoleSettings } from "./config.ts";
import { consoleHeaders } from "./headers.ts";

const HANDSHAKE_TIMEOUT_MS = 10_000;
const TLS = { minVersion: "TLSv1.3" } as const;

/** The listener, listening. */
interface ConsoleListener {
  /** By which browsers call it. */
  readonly origin: string;
  close(): Promise<void>;
}

/** @throws TrustWardenError `bind_refused`, `config_invalid`, `file_mode_too_open`. */
export async function openConsoleListener(options: {
  readonly services: Services;
  readonly routes: readonly Route[];
  readonly settings: ConsoleSettings;
}): Promise<ConsoleListener> {
  const { services, routes, settings } = options;
  const { tls } = settings;
  const files = tls === undefined ? undefined : new CertificateFiles(tls, "console.tls");
  const browser = { origin: "" };
  const headers = consoleHeaders(tls !== undefined);
  const door = createDoor(services, routes, headers);
  const opened = createListener(
    {
      routes,
      listener: "console",
      rules: { hosts: new Set([nameOf(settings)]), allowsUpgrade: false, browser },
      serve: (route, arrival) => serve(services, route, arrival),
      headers,
      log: services.log,
    },
    (handler) =>
      files === undefined
        ? createPlainServer(HTTP_OPTIONS, door(handler))
        : createServer(
            { ...HTTP_OPTIONS, ...TLS, ...files.current, handshakeTimeout: HANDSHAKE_TIMEOUT_MS },
            door(handler),
          ),
  );
  try {
    await listenOn(opened, settings);
  } catch (error) {
    await closeListener(opened);
    throw error;
  }
  browser.origin = originOf(settings, portOf(opened));
  const followed =
    files === undefined
      ? undefined
      : followCertificate({
          files,
          server: opened.server,
          context: TLS,
          log: services.log,
          listener: "console",
        });
  return {
    origin: browser.origin,
    close: () => {
      followed?.stop();
      return closeListener(opened);
    },
  };
}

/** What browsers call it: plain HTTP is for `localhost`, since passkeys are bound to a name and never to an address. */
function originOf(settings: ConsoleSettings, port: number): string {
  return settings.origin ?? `${settings.tls === undefined ? "http" : "https"}://${nameOf(settings)}:${port}`;
}

function nameOf({ origin, host, tls }: ConsoleSettings): string {
  if (origin !== undefined) return new URL(origin).hostname;
  return tls === undefined || isIPv6(host) || /^[0-9.]+$/.test(host) ? "localhost" : host.toLowerCase();
}
