/**
 * One try to get a connection that carries a lease: TCP, TLS with a peer that is proven, and the upgrade.
 *
 * It can be given up at any moment, and then whoever was asked has no more work with it. What becomes of the connection is the
 * business of `lease.ts`.
 */
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { LEASE_PROTOCOL } from "@trustwarden/core/revocation/frames.ts";

/** RFC 9110 §10.2.3, the form in seconds; ours are one or two digits. */
const SECONDS = /^[0-9]{1,4}$/;

/** How a try came out; exactly one of them is called, once, unless it is given up. */
export interface TryEnds {
  readonly onUpgraded: (socket: Duplex, head: Uint8Array) => void;
  readonly onFailed: (
    failure: unknown,
    answer?: { readonly status: number; readonly afterMs: number },
  ) => void;
}

/** A try under way. */
export interface LeaseTry {
  giveUp(): void;
}

/**
 * Starts a try.
 *
 * @param asking.connect - opens the connection; calls back once, when the peer is proven or with what is wrong.
 * @param asking.timeoutMs - for all of it.
 * @throws whatever `connect` does, for want of an identity.
 */
export function tryLease(
  asking: {
    readonly url: URL;
    readonly headers: Readonly<Record<string, string>>;
    readonly timeoutMs: number;
    readonly connect: (done: (error: Error | null) => void) => TLSSocket;
  },
  { onUpgraded, onFailed }: TryEnds,
): LeaseTry {
  let isOver = false;
  const end = (): boolean => {
    const wasOver = isOver;
    isOver = true;
    clearTimeout(timer);
    return !wasOver;
  };
  const fail = (...failed: Parameters<TryEnds["onFailed"]>): void => {
    if (!end()) return;
    socket.destroy();
    onFailed(...failed);
  };
  const socket = asking.connect((error) => {
    if (error !== null) fail(error);
    else if (!isOver) upgrade(socket, asking, { onAnswer, onFailed: fail, onUpgraded: succeed });
  });
  const onAnswer = ({ statusCode = 0, headers }: IncomingMessage): void => {
    const after = headers["retry-after"] ?? "";
    const afterMs = SECONDS.test(after) ? Number(after) * 1000 : 0;
    fail(unreachable(`status ${statusCode}`), { status: statusCode, afterMs });
  };
  const succeed = (upgraded: Duplex, head: Uint8Array): void => {
    if (end()) onUpgraded(upgraded, head);
    else upgraded.destroy();
  };
  const timer = setTimeout(() => fail(unreachable("upgrade timeout")), asking.timeoutMs).unref();
  return {
    giveUp: () => {
      if (end()) socket.destroy();
    },
  };
}

function upgrade(
  socket: TLSSocket,
  { url, headers }: { readonly url: URL; readonly headers: Readonly<Record<string, string>> },
  ends: TryEnds & { readonly onAnswer: (answer: IncomingMessage) => void },
): void {
  const asked = request(url, {
    createConnection: () => socket,
    headers: { ...headers, connection: "Upgrade", upgrade: LEASE_PROTOCOL },
  });
  asked.once("response", ends.onAnswer);
  asked.once("error", (error) => ends.onFailed(error));
  asked.once("upgrade", (_answer, upgraded, head) => ends.onUpgraded(upgraded, head));
  // Emitted in every case; what was said before counts.
  asked.once("close", () => ends.onFailed(unreachable("closed before the upgrade")));
  asked.end();
}

function unreachable(reason: string): TrustWardenError {
  return new TrustWardenError("server_unreachable", { reason });
}
