/** The mark outside the data directory, as `warden doctor` holds it against a server. */
import { encodeHighWaterMark } from "@trustwarden/core/agentledger/log-state.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { describe, expect, it } from "vitest";
import { checkMark } from "./doctor-deployment.ts";

const server = { epoch: 7, ledger: { size: 100 } };

function stateOf(seen: { readonly size: number; readonly epoch: number }): string {
  const mark = { origin: "ledger.acme.test", root: new Uint8Array(32), ...seen };
  return checkMark({ path: "mark", text: parseUtf8(encodeHighWaterMark(mark)) }, server).state;
}

describe("the high-water mark", () => {
  it("is sound up to what the server has, and not one entry or epoch beyond it", () => {
    expect(stateOf({ size: 100, epoch: 7 })).toBe("good");
    expect(stateOf({ size: 101, epoch: 7 })).toBe("bad");
    expect(stateOf({ size: 100, epoch: 8 })).toBe("bad");
  });

  it("is missed when it is not there", () => {
    expect(checkMark({ path: "mark", text: undefined }, server).state).toBe("bad");
  });
});
