/** What a watch leaves behind once its caller has closed it. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { expect, it, vi } from "vitest";
import { systemRuntime } from "../runtime.ts";
import type { Transport } from "./grpc-transport.ts";
import { watchState } from "./watch.ts";

const away: Transport = {
  open: () => ({
    ended: Promise.reject(new TrustWardenError("server_unreachable", { status: "14" })),
    cancel: () => undefined,
  }),
  close: () => undefined,
};

const countTimers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;

it("a watch that is closed upon an error waits for nothing, and keeps no process alive", async () => {
  const before = countTimers();
  const errors: string[] = [];
  const watch = watchState(
    { transport: away, path: "/x", read: () => undefined, runtime: systemRuntime },
    {
      onState: () => undefined,
      onError: ({ code }) => {
        errors.push(code);
        watch.close();
      },
    },
  );
  await vi.waitFor(() => expect(errors).toEqual(["server_unreachable"]));
  expect(countTimers()).toBe(before);
});
