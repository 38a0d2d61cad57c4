/** Where a command listens: on this machine, unless somebody says otherwise. */
import { once } from "node:events";
import type { AddressInfo, Server } from "node:net";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parsePlace } from "@trustwarden/node/launcher/way-out.ts";

const LOOPBACK: readonly string[] = ["127.0.0.1", "::1", "localhost"];

/** A place to listen at; port 0 is any free one. */
interface Place {
  readonly host: string;
  readonly port: number;
}

/** Whether only this machine reaches a host. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.includes(host);
}

/** @throws TrustWardenError `bind_refused` for another machine's reach without leave, `usage` for no place. */
export function parseListen({
  listen,
  allowExternal,
}: {
  readonly listen: string;
  readonly allowExternal?: true;
}): Place {
  const isAnyPort = listen.endsWith(":0");
  const { host, port } = parsePlace(isAnyPort ? `${listen.slice(0, -1)}1` : listen);
  if (!isLoopback(host) && allowExternal !== true) throw new TrustWardenError("bind_refused", { host });
  return { host, port: isAnyPort ? 0 : port };
}

/**
 * Listens; the address as it stands in a URL, and the port.
 *
 * @throws TrustWardenError `bind_refused`.
 */
export async function listenOn(server: Server, place: Place): Promise<Place> {
  server.listen(place);
  try {
    await once(server, "listening");
  } catch (cause) {
    throw new TrustWardenError("bind_refused", { ...place }, { cause });
  }
  const { address, port } = requireAddress(server.address());
  return { host: address.includes(":") ? `[${address}]` : address, port };
}

function requireAddress(address: AddressInfo | string | null): AddressInfo {
  if (address === null || typeof address === "string") throw new Error("a TCP server has a port");
  return address;
}
