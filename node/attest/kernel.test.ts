/** What the kernel is asked: only Linux answers. The rest is in `attest.test.ts`, with real processes. */
import { expect, test } from "vitest";
import { openKernel } from "./kernel.ts";

test("another system than Linux attests nobody, and says so", async () => {
  const { platform } = process;
  Object.defineProperty(process, "platform", { value: "sunos" });
  try {
    await expect(openKernel()).rejects.toMatchObject({ code: "attestor_unavailable" });
  } finally {
    Object.defineProperty(process, "platform", { value: platform });
  }
});
