/** A lease as an attacker's service holds it: one upgraded connection, its lines, and when it was cut. */
import { once } from "node:events";
import { request } from "node:https";
import type { Duplex } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { LEASE_PROTOCOL } from "@trustwarden/core/revocation/frames.ts";
import type { TestInstance } from "../../test/support/actors.ts";

const BEAT_MS = 100;

/** An open lease. */
export interface HeldLease {
  /** Lines from the server. */
  readonly lines: () => readonly string[];
  isOpen(): boolean;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  end(): void;
}

/** Opens a lease. @returns the status of the refusal instead, when it is refused. */
export async function holdLease(stopUrl: string, verifier: TestInstance): Promise<HeldLease | number> {
  const upgrade = request(new URL("/v1/lease", stopUrl), {
    ...verifier.tls,
    rejectUnauthorized: false,
    agent: false,
    headers: { connection: "Upgrade", upgrade: LEASE_PROTOCOL },
  });
  const { promise, resolve, reject } = Promise.withResolvers<Duplex | number>();
  upgrade.once("upgrade", (_answer, socket) => resolve(socket));
  upgrade.once("response", (answer) => {
    answer.resume();
    resolve(answer.statusCode ?? 0);
  });
  upgrade.once("error", reject);
  upgrade.end();
  const socket = await promise;
  return typeof socket === "number" ? socket : follow(socket);
}

function follow(socket: Duplex): HeldLease {
  let text = "";
  let isOpen = true;
  let beats = 0;
  socket.on("data", (part: Buffer) => {
    text += part.toString("utf8");
  });
  socket.on("error", () => socket.destroy());
  socket.on("end", () => socket.destroy());
  const timer = setInterval(() => {
    beats += 1;
    const nonce = Buffer.alloc(16, beats).toString("base64url");
    // An honest acknowledgement of whatever came, so that nothing but a revocation is a reason to cut the link.
    const ack = Math.max(0, ...[...text.matchAll(/"epoch":(\d+)/g)].map(([, epoch]) => Number(epoch)));
    socket.write(`${JSON.stringify({ nonce, ack })}\n`);
  }, BEAT_MS);
  const closed = once(socket, "close").then(() => {
    isOpen = false;
    clearInterval(timer);
  });
  return {
    lines: () => text.split("\n").filter((line) => line !== ""),
    isOpen: () => isOpen,
    closed,
    end: () => socket.destroy(),
  };
}

/** Whether a promise resolves within a time. */
export function isWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  return Promise.race([promise.then(() => true), setTimeout(ms).then(() => false)]);
}
