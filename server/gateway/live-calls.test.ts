/** Running calls of one of several servers, when its own lease is over. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseUpstreamName } from "@trustwarden/core/gateway/upstream.ts";
import { expect, it } from "vitest";
import { refusalOf } from "./call-budget.ts";
import { type LiveCall, LiveCalls } from "./live-calls.ts";

const upstream = { name: parseUpstreamName("shop") } as LiveCall["upstream"]; // The cast: nothing else of it is looked at.
const agent = {} as LiveCall["agent"]; // The cast: nobody is asked about it.

it("end with the server's lease, as what may be asked again and not as a deny", async () => {
  const calls = new LiveCalls();
  const left = [5, 0];
  calls.holdTo(() => left.shift() ?? 0);
  const call = { agent, upstream, isPresented: false, endsInMs: 60_000, mayGoOn: () => true };
  const reason = await calls.run(call, async (signal) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    return signal.reason;
  });
  expect(reason).toMatchObject({ code: "store_unavailable" });
  const cut = new TrustWardenError("call_cut");
  expect(refusalOf({ progress: { refusal: reason } }, cut)).toBe(reason);
  expect(refusalOf({ progress: { refusal: undefined } }, cut)).toBe(cut);
  expect(refusalOf({ progress: { refusal: reason } }, new TrustWardenError("call_aborted")).code).toBe(
    "call_aborted",
  );
});
