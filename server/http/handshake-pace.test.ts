/** How many handshakes begin in a stretch, by how late the thread is. */
import { expect, test } from "vitest";
import { HandshakePace } from "./handshake-pace.ts";

function countOf(pace: HandshakePace): number {
  let count = 0;
  for (; pace.hasRoom; count += 1) pace.take();
  return count;
}

test("halves when the thread comes late, never stops, and grows by one while it is on time", () => {
  const pace = new HandshakePace();
  const after = (tookMs: number): number => {
    pace.next(tookMs);
    return countOf(pace);
  };
  expect(countOf(pace)).toBe(32);
  expect([76, 80, 500, 76, 76, 76, 76].map(after)).toEqual([16, 8, 4, 2, 1, 1, 1]);
  expect([75, 50, 60].map(after)).toEqual([2, 3, 4]);
  for (let stretch = 0; stretch < 40; stretch += 1) after(50);
  expect(after(50)).toBe(32);
});

test("begins as many as its listener needs, however late", () => {
  const pace = new HandshakePace(4);
  for (let stretch = 0; stretch < 9; stretch += 1) pace.next(500);
  expect(countOf(pace)).toBe(4);
});
