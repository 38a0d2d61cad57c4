/** A connection to NATS: what it is made with. Passwords and keys are read for each connection, since they change. */

import {
  connect,
  credsAuthenticator,
  type NatsConnection,
  type NodeConnectionOptions,
  usernamePasswordAuthenticator,
} from "@nats-io/transport-node";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { readPrivateFile } from "../signer/private-file.ts";
import { readPublicFile } from "../store/postgres-login.ts";
import type { NatsSettings } from "./config.ts";

const SETTING = "state.notices";
const CONNECT_TIMEOUT_MS = 5000;
/** A connection that is dead without a word is noticed in twice as long. */
const PING_MS = 2000;
const MAX_PINGS_OUT = 2;

/**
 * Connects once; whoever lost a connection makes another.
 *
 * @throws TrustWardenError `config_invalid`, `file_mode_too_open`; and what the driver throws.
 */
export function connectNats(settings: NatsSettings, name: string): Promise<NatsConnection> {
  return connect({
    ...accessOf(settings),
    servers: [...settings.servers],
    name,
    reconnect: false,
    timeout: CONNECT_TIMEOUT_MS,
    pingInterval: PING_MS,
    maxPingOut: MAX_PINGS_OUT,
    // What this server told it knows.
    noEcho: true,
    // Only servers that are configured: nobody on the way names others.
    ignoreClusterUpdates: true,
  });
}

function accessOf({ user, passwordFile, credentialsFile, tls }: NatsSettings): NodeConnectionOptions {
  const read = (file: string) => parseUtf8(readPrivateFile(file)).trim();
  return {
    ...(user !== undefined &&
      passwordFile !== undefined && {
        authenticator: usernamePasswordAuthenticator(user, read(passwordFile)),
      }),
    ...(credentialsFile !== undefined && {
      authenticator: credsAuthenticator(readPrivateFile(credentialsFile)),
    }),
    // Given, a server that offers no TLS is refused; left out (this machine only), one is never asked for.
    tls: tls === undefined ? null : tlsOf(tls, read),
  };
}

function tlsOf(
  { caFile, certFile, keyFile }: NonNullable<NatsSettings["tls"]>,
  read: (file: string) => string,
) {
  const ca = readPublicFile(`${SETTING}.tls.caFile`, caFile);
  if (certFile === undefined || keyFile === undefined) return { ca };
  return { ca, cert: readPublicFile(`${SETTING}.tls.certFile`, certFile), key: read(keyFile) };
}
