/** The server's SVID is renewed in time, and a failed renewal is tried again. */
import { describe, expect, it } from "vitest";
import { createServerIdentity } from "./server-identity.ts";
import type { ServerSvid } from "./store/ports.ts";

function createCase(options: {
  readonly lifetimeSeconds: number;
  readonly failures?: number;
  readonly intermediate?: Uint8Array;
}) {
  const renewed = Promise.withResolvers<ServerSvid>();
  const failed: unknown[] = [];
  const reasons: string[] = [];
  const settled: number[] = [];
  let failuresLeft = options.failures ?? 0;
  const identity = createServerIdentity({
    commands: {
      issueServerSvid: async ({ context, reason }) => {
        reasons.push(reason);
        if (reason === "renew" && failuresLeft > 0) {
          failuresLeft -= 1;
          throw new Error("the store is away");
        }
        const expiresAt = Math.floor(context.nowMs / 1000) + options.lifetimeSeconds;
        const value = {
          spiffeId: "spiffe://acme.test/s",
          svidChain: [new Uint8Array([0]), options.intermediate ?? new Uint8Array([1])],
          svidSha256: `${reasons.length}`,
          expiresAt,
        };
        return { value, entries: [], outboxId: reasons.length, eventId: "", epoch: 0 };
      },
    },
    settle: async ({ outboxId }) => settled.push(outboxId),
    nowMs: () => Date.now(),
    onRenewed: renewed.resolve,
    onFailed: (error) => failed.push(error),
  });
  return { identity, renewed: renewed.promise, failed, reasons, settled };
}

describe("the server's identity", () => {
  it("is issued and recorded before anything else", async () => {
    const { identity, reasons, settled } = createCase({ lifetimeSeconds: 3600 });
    const { current, close } = await identity;
    close();
    expect(current().svidSha256).toBe("1");
    expect({ reasons, settled }).toEqual({ reasons: ["start"], settled: [1] });
  });

  it("is renewed within its life, and the new one is handed on", async () => {
    const { identity, renewed, reasons } = createCase({ lifetimeSeconds: 1 });
    const { current, close } = await identity;
    // Renewal does not keep a process alive; this does, for the test.
    const alive = setInterval(() => undefined, 1000);
    expect((await renewed).svidSha256).toBe("2");
    clearInterval(alive);
    close();
    expect(current().svidSha256).toBe("2");
    expect(reasons.slice(0, 2)).toEqual(["start", "renew"]);
  });

  it("follows another intermediate, and is left as it is by steps that keep the one it is under", async () => {
    const options = { lifetimeSeconds: 3600, intermediate: new Uint8Array([1]) };
    const { identity, reasons } = createCase(options);
    const { current, follow, close } = await identity;
    await follow(new Uint8Array([1]));
    expect(current().svidSha256).toBe("1");
    options.intermediate = new Uint8Array([2]);
    await follow(new Uint8Array([2]));
    await follow(new Uint8Array([2]));
    close();
    expect(current().svidSha256).toBe("2");
    expect(reasons).toEqual(["start", "renew"]);
  });
});
