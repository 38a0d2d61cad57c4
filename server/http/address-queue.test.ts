/** In which order those get their turns who wait at a listener. */
import { expect, it } from "vitest";
import { AddressQueue, networkOf } from "./address-queue.ts";

it.each([
  ["192.0.2.7", "192.0.2.7"],
  ["::ffff:192.0.2.7", "192.0.2.7"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:db8:1:2::6", "2001:db8:1:2::/64"],
  ["2001:0db8:0001:0002::", "2001:db8:1:2::/64"],
  ["2001:db8::2:3:4:5:6", "2001:db8:0:2::/64"],
  ["::1", "0:0:0:0::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ["", ""],
])("the network of %j is %j", (address, network) => {
  expect(networkOf(address)).toBe(network);
});

it("gives each network its turn, and in it each address, however many wait at one", () => {
  const queue = new AddressQueue<string>();
  for (let at = 0; at < 4; at += 1) queue.push(`2001:db8::${at}`, `crowd ${at}`);
  queue.push("2001:db8::0", "crowd 0 again");
  queue.push("192.0.2.1", "one");
  queue.push("192.0.2.1", "one again");
  queue.push("192.0.2.2", "other");
  const order = Array.from({ length: 9 }, () => queue.shift());
  expect(order).toEqual([
    "crowd 0",
    "one",
    "other",
    "crowd 1",
    "one again",
    "crowd 2",
    "crowd 3",
    "crowd 0 again",
    undefined,
  ]);
});
