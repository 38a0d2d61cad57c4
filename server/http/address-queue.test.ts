/** In which order those get their turns who wait at a listener. */
import { expect, it } from "vitest";
import { AddressQueue } from "./address-queue.ts";

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

it("gives every other turn of an address to its newest comer, so that nobody stands behind all of a crowd", () => {
  const queue = new AddressQueue<number>();
  for (const one of [1, 2, 3, 4, 5, 6]) queue.push("192.0.2.1", one);
  expect([queue.shift(), queue.shift(), queue.shift()]).toEqual([1, 6, 2]);
  queue.push("192.0.2.1", 7);
  expect([queue.shift(), queue.shift(), queue.shift(), queue.shift()]).toEqual([7, 3, 5, 4]);
  expect(queue.isEmpty).toBe(true);
});

it("lets go of those who have gone, long before their turn", () => {
  const gone = new Set<number>();
  const queue = new AddressQueue<number>((one) => gone.has(one));
  for (let one = 0; one < 1000; one += 1) queue.push("192.0.2.1", one);
  for (let one = 1; one < 999; one += 1) {
    gone.add(one);
    queue.noteGone("192.0.2.1");
    expect(queue.size).toBeLessThanOrEqual(2 * (1000 - one));
  }
  expect([queue.shift(), queue.shift()]).toEqual([0, 999]);
  queue.push("192.0.2.1", 1);
  queue.noteGone("192.0.2.1");
  queue.noteGone("192.0.2.2");
  expect(queue.isEmpty).toBe(true);
});
