import { describe, expect, it } from "vitest";
import { ApprovalWaiters } from "./waiters.ts";

describe("the waits for a human's answer", () => {
  it("end when they are told, when their time is over, and when the server ends", async () => {
    const waiters = new ApprovalWaiters();
    const ended: string[] = [];
    const wait = (name: string, id: string, waitMs: number) =>
      waiters.wait(id, waitMs).then(() => ended.push(name));
    const told = wait("told", "a", 60_000);
    const late = wait("late", "b", 1);
    const open = wait("open", "c", 60_000);
    waiters.tell("a");
    await told;
    await late;
    expect(ended).toEqual(["told", "late"]);
    waiters.close();
    await open;
    expect(ended).toEqual(["told", "late", "open"]);
  });

  it("are not begun for no time, or when a thousand wait already", async () => {
    const waiters = new ApprovalWaiters();
    await waiters.wait("a", 0);
    const many = Array.from({ length: 1024 }, () => waiters.wait("a", 60_000));
    await waiters.wait("a", 60_000);
    waiters.close();
    await Promise.all(many);
  });
});
