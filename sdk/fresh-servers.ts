/**
 * Gives each renewed SVID to the HTTPS servers that present it.
 *
 * A server keeps the certificate it was created with until it is told of another; without this, visitors would be
 * shown an expired one after an hour. Also takes the key's text off the server, once its TLS context is made.
 */
import { Server } from "node:https";
import type { TlsKeyOptions } from "./instance-key.ts";
import { SERVER_TLS_OPTIONS } from "./tls.ts";

/** Owns the list of servers; a server leaves it when it closes. */
export class FreshServers {
  readonly #servers = new Set<Server>();
  #options: TlsKeyOptions;

  constructor(first: TlsKeyOptions) {
    this.#options = first;
  }

  /** Key and certificate of the SVID at hand. */
  get current(): TlsKeyOptions {
    return this.#options;
  }

  /** Takes over a server, once; anything else is ignored. */
  learn(server: unknown): void {
    if (!(server instanceof Server) || this.#servers.has(server)) return;
    this.#servers.add(server);
    server.once("close", () => this.#servers.delete(server));
    this.#refresh(server);
  }

  /** New connections are made with this SVID from now on. */
  update(options: TlsKeyOptions): void {
    this.#options = options;
    for (const server of this.#servers) this.#refresh(server);
  }

  #refresh(server: Server): void {
    server.setSecureContext({ ...SERVER_TLS_OPTIONS, ...this.#options });
    // Node keeps the key's text on the server, which every request leads to: a logged request would print it.
    Object.assign(server, { key: undefined });
  }
}
