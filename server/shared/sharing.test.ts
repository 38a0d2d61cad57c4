/** A server says nothing that others may have changed, and asks the store before it turns somebody away as unknown. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { expect, test } from "vitest";
import { expectRejection } from "../../test/support/expect-code.ts";
import { ALONE, askTogether, requireCurrent, requireNewest, withNewest } from "./sharing.ts";

const SHARED = { ...ALONE, isShared: true };
const unknown = () => {
  throw new TrustWardenError("instance_unknown");
};

test("cut off, it waits for its word with the store, and refuses then", async () => {
  await expectRejection(requireCurrent({ sharing: { isCurrent: () => false } }), "store_unavailable");
  let looks = 0;
  const isCurrent = () => {
    looks += 1;
    return looks > 3;
  };
  await requireCurrent({ sharing: { isCurrent } });
  expect(looks).toBe(4);
});

test("whom nobody knows here is looked for again upon what others wrote, once", async () => {
  let caughtUp = 0;
  const catchUp = async () => {
    caughtUp += 1;
  };
  const sharing = { ...SHARED, catchUp };
  expect(await withNewest({ sharing }, () => (caughtUp === 0 ? unknown() : "known"))).toBe("known");
  await expectRejection(withNewest({ sharing }, unknown), "instance_unknown");
  expect(caughtUp).toBe(2);
  const refused = () => Promise.reject(new TrustWardenError("identity_revoked"));
  await expectRejection(withNewest({ sharing }, refused), "identity_revoked");
  await expectRejection(withNewest({ sharing: { ...ALONE, catchUp } }, unknown), "instance_unknown");
  expect(caughtUp).toBe(2);
});

test("before something is published it is asked what others wrote; a server alone asks nobody", async () => {
  let caughtUp = 0;
  const catchUp = async () => {
    caughtUp += 1;
  };
  await requireNewest({ sharing: { ...SHARED, catchUp } });
  await requireNewest({ sharing: { ...ALONE, catchUp } });
  expect(caughtUp).toBe(1);
  const cutOff = () => Promise.reject(new TrustWardenError("store_unavailable"));
  await expectRejection(requireNewest({ sharing: { ...SHARED, catchUp: cutOff } }), "store_unavailable");
});

test("a crowd that comes while the store is asked has one asking of its own, which begins after it", async () => {
  const asked: PromiseWithResolvers<void>[] = [];
  const catchUp = askTogether(() => {
    const one = Promise.withResolvers<void>();
    asked.push(one);
    return one.promise;
  });
  const first = catchUp();
  const ended: number[] = [];
  const crowd = Array.from({ length: 50 }, (_, at) => catchUp().then(() => ended.push(at)));
  expect(asked).toHaveLength(1);
  asked[0]?.reject(new TrustWardenError("store_unavailable"));
  await expectRejection(first, "store_unavailable");
  await new Promise((resolve) => setImmediate(resolve));
  expect([asked.length, ended.length]).toEqual([2, 0]);
  asked[1]?.resolve();
  await Promise.all(crowd);
  const after = catchUp();
  expect(asked).toHaveLength(3);
  asked[2]?.resolve();
  await after;
});
