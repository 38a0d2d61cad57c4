/** A connection between its opening and the proof, over real sockets. */
import { once } from "node:events";
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { requireProof } from "./proven-socket.ts";

const LONG = { timeoutMs: 60_000 };
let server: Server;
let near: Socket;
let far: Socket;

beforeEach(async () => {
  server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  near = dial(typeof address === "object" ? (address?.port ?? 0) : 0, "127.0.0.1");
  [far] = await once(server, "connection");
  far.on("error", () => far.destroy());
});
afterEach(() => {
  near.destroy();
  far.destroy();
  server.close();
});

const never = () => new Promise<void>(() => {});

describe("a connection whose proof is awaited", () => {
  it("is refused when the other end resets it, and nothing else ends", async () => {
    const proven = requireProof(near, never, LONG);
    far.resetAndDestroy();
    await expect(proven).rejects.toMatchObject({ code: "server_unreachable" });
  });

  it("is refused when it ended before", async () => {
    near.destroy();
    await expect(requireProof(near, never, LONG)).rejects.toMatchObject({ code: "server_unreachable" });
  });

  it("is refused at the limit, whatever trickles in", async () => {
    const trickle = setInterval(() => far.write("x"), 1);
    const proven = requireProof(near, never, { timeoutMs: 20 });
    await expect(proven).rejects.toMatchObject({ code: "server_unreachable" });
    clearInterval(trickle);
  });

  it("is ended when the proof fails, and handed over when it holds", async () => {
    await requireProof(near, async () => {}, LONG);
    expect(near.destroyed).toBe(false);
    const failing = requireProof(near, () => Promise.reject(new TrustWardenError("receipt_invalid")), LONG);
    await expect(failing).rejects.toMatchObject({ code: "receipt_invalid" });
    expect(near.destroyed).toBe(true);
  });
});
