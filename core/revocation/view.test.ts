import { beforeEach, describe, expect, test } from "vitest";
import type { ServerFrame } from "./frames.ts";
import type { Instant } from "./ports.ts";
import { RevocationView } from "./view.ts";

const IDS = ["own_1", "agt_1", "inst-1"] as const;
const hello = (epoch: number, seq = 0): ServerFrame => ({ kind: "hello", epoch, leaseMs: 700, seq });
const echo = (nonce: string, epoch: number, seq = 0): ServerFrame => ({ kind: "echo", nonce, epoch, seq });
const push = (
  seq: number,
  epoch: number,
  kind: "instance" | "agent" | "owner" | "narrowed" | "policy",
  id: string,
): ServerFrame => ({ kind: "push", seq, epoch, targets: [{ kind, id }] });
/** Both clocks at `ms`, the wall clock `ahead` of it. */
const at = (ms: number, ahead = 0): Instant => ({ monotonicMs: ms, wallMs: 1_000_000 + ms + ahead });

let view: RevocationView;
beforeEach(() => {
  view = new RevocationView();
  view.onConnect();
  view.onFrame(hello(5));
});

/** A lease from a nonce sent at `ms`. */
function beat(ms: number, epoch = 5, seq = 0): void {
  view.onSent(`n${ms}`, at(ms));
  view.onFrame(echo(`n${ms}`, epoch, seq));
}

describe("the lease", () => {
  test("there is none before the first echo", () => {
    expect(() => view.requireFresh(at(0))).toThrow("lease_expired");
  });

  test("it lasts 700 ms from sending, however late the echo comes", () => {
    view.onSent("n", at(100));
    view.onFrame(echo("n", 5));
    view.requireFresh(at(799));
    expect(() => view.requireFresh(at(800))).toThrow("lease_expired");
  });

  test("an echo of a nonce that was never sent gives nothing", () => {
    view.onFrame(echo("foreign", 5));
    expect(() => view.requireFresh(at(0))).toThrow("lease_expired");
    expect(view.isStale).toBe(false);
  });

  test("an echo is used once", () => {
    beat(0);
    view.onFrame(echo("n0", 5));
    expect(() => view.requireFresh(at(700))).toThrow("lease_expired");
  });

  test("the wall clock alone ends it too, so a suspended process wakes up without one", () => {
    beat(0);
    view.requireFresh(at(300, 399));
    expect(() => view.requireFresh(at(300, 400))).toThrow("lease_expired");
  });

  test("a wall clock that went back by 500 ms is borne, by more it ends the lease for good", () => {
    beat(0);
    view.requireFresh(at(100, -500));
    expect(() => view.requireFresh(at(100, -501))).toThrow("lease_expired");
    expect(() => view.requireFresh(at(100))).toThrow("lease_expired");
  });

  test("a jump between two beats ends the lease and what is on its way", () => {
    beat(0);
    view.onSent("early", at(100));
    view.onSent("late", at(200, 501));
    expect(() => view.requireFresh(at(200))).toThrow("lease_expired");
    view.onFrame(echo("early", 5));
    expect(() => view.requireFresh(at(200))).toThrow("lease_expired");
    view.onFrame(echo("late", 5));
    view.requireFresh(at(300, 501));
  });

  test("a monotonic clock that goes back, or is no number, ends it", () => {
    beat(100);
    expect(() => view.requireFresh({ monotonicMs: Number.NaN, wallMs: Number.NaN })).toThrow("lease_expired");
    beat(200);
    expect(() => view.requireFresh(at(199))).toThrow("lease_expired");
  });

  test("it survives a short break of the connection", () => {
    beat(0);
    view.onConnect();
    view.onFrame(hello(5));
    view.requireFresh(at(600));
    expect(() => view.requireFresh(at(700))).toThrow("lease_expired");
  });

  test("an echo of the connection before gives nothing", () => {
    view.onSent("old", at(0));
    view.onConnect();
    view.onFrame(hello(5));
    view.onFrame(echo("old", 5));
    expect(() => view.requireFresh(at(1))).toThrow("lease_expired");
  });

  test("a thousand unanswered nonces are forgotten, not kept", () => {
    for (let ms = 0; ms < 1000; ms += 1) view.onSent(`n${ms}`, at(ms * 0.1));
    view.onFrame(echo("n0", 5));
    expect(() => view.requireFresh(at(100))).toThrow("lease_expired");
    view.onFrame(echo("n999", 5));
    view.requireFresh(at(100));
  });
});

describe("a lease from a relay", () => {
  const short = (nonce: string, leaseMs: number): ServerFrame => ({
    kind: "echo",
    nonce,
    epoch: 5,
    seq: 0,
    leaseMs,
  });

  test("lasts as long as the relay could give, from sending", () => {
    view.onSent("a", at(0));
    view.onFrame(short("a", 300));
    expect(view.leftMs(at(100))).toBe(200);
    view.requireFresh(at(299));
    expect(() => view.requireFresh(at(300))).toThrow("lease_expired");
    expect(view.leftMs(at(300))).toBe(0);
  });

  test("takes nothing of a longer one", () => {
    view.onSent("a", at(0));
    view.onFrame(short("a", 600));
    view.onSent("b", at(100));
    view.onFrame(short("b", 300));
    view.requireFresh(at(599));
    expect(() => view.requireFresh(at(600))).toThrow("lease_expired");
  });

  test("is never longer than the hello said", () => {
    view.onConnect();
    view.onFrame({ kind: "hello", epoch: 5, leaseMs: 100, seq: 0 });
    view.onSent("a", at(0));
    view.onFrame(short("a", 700));
    expect(() => view.requireFresh(at(100))).toThrow("lease_expired");
  });
});

describe("a view that was broken is stale until a new connection", () => {
  test.each<readonly [string, ServerFrame]>([
    ["a push that skips a number", push(2, 6, "agent", "agt_9")],
    ["a push that repeats a number", push(0, 6, "agent", "agt_9")],
    ["a push whose epoch does not rise", push(1, 5, "agent", "agt_9")],
    ["an echo that names a push that never came", echo("n100", 5, 1)],
    ["an echo of a later epoch", echo("n100", 6)],
    ["an echo of an earlier epoch", echo("n100", 4)],
    ["a second hello", hello(6)],
  ])("%s", (_name, frame) => {
    beat(0);
    view.onSent("n100", at(100));
    view.onFrame(frame);
    expect(view.isStale).toBe(true);
    expect(() => view.requireFresh(at(101))).toThrow("lease_expired");
    view.onFrame(echo("n100", 5));
    expect(() => view.requireFresh(at(101))).toThrow("lease_expired");
    view.onConnect();
    view.onFrame(hello(7, 9));
    beat(200, 7, 9);
    view.requireFresh(at(201));
  });

  test("anything before the hello", () => {
    for (const frame of [echo("n", 5), push(1, 6, "agent", "agt_9")]) {
      view.onConnect();
      view.onFrame(frame);
      expect(view.isStale).toBe(true);
    }
  });

  test("a hello below the epoch already known is never followed", () => {
    view.onConnect();
    view.onFrame(hello(4));
    expect(view.isStale).toBe(true);
    expect(view.epoch).toBe(5);
  });
});

describe("what was touched", () => {
  test("before any hello no decision is good", () => {
    expect(() => new RevocationView().requireUntouched({ epoch: 1e9, ids: [] })).toThrow("decision_stale");
  });

  test.each(["own_1", "agt_1", "inst-1"])("a revoked %s stops older decisions about its chain", (id) => {
    view.requireUntouched({ epoch: 5, ids: IDS });
    view.onFrame(push(1, 6, "agent", id));
    expect(() => view.requireUntouched({ epoch: 5, ids: IDS })).toThrow("identity_revoked");
    view.requireUntouched({ epoch: 6, ids: IDS });
    view.requireUntouched({ epoch: 5, ids: ["own_2", "agt_2"] });
  });

  test("a narrowed link makes the decision stale", () => {
    view.onFrame(push(1, 6, "narrowed", "inst-1"));
    expect(() => view.requireUntouched({ epoch: 5, ids: IDS })).toThrow("decision_stale");
    view.requireUntouched({ epoch: 6, ids: IDS });
  });

  test("the dead stay dead when they are narrowed later", () => {
    view.onFrame(push(1, 6, "instance", "inst-1"));
    view.onFrame(push(2, 7, "narrowed", "inst-1"));
    expect(() => view.requireUntouched({ epoch: 5, ids: IDS })).toThrow("identity_revoked");
  });

  test("a tighter policy makes every older decision stale", () => {
    view.onFrame(push(1, 6, "policy", "*"));
    expect(() => view.requireUntouched({ epoch: 5, ids: [] })).toThrow("decision_stale");
    view.requireUntouched({ epoch: 6, ids: [] });
  });

  test("a decision older than the connection, or without a number, is stale", () => {
    expect(() => view.requireUntouched({ epoch: 4, ids: IDS })).toThrow("decision_stale");
    expect(() => view.requireUntouched({ epoch: Number.NaN, ids: IDS })).toThrow("decision_stale");
    view.onConnect();
    view.onFrame(hello(8));
    expect(() => view.requireUntouched({ epoch: 7, ids: [] })).toThrow("decision_stale");
    view.requireUntouched({ epoch: 8, ids: IDS });
  });

  test("what is forgotten makes older decisions stale, never good", () => {
    for (let step = 1; step <= 4097; step += 1) view.onFrame(push(step, 5 + step, "agent", `agt_x${step}`));
    expect(() => view.requireUntouched({ epoch: 5, ids: ["agt_x1"] })).toThrow("decision_stale");
    view.requireUntouched({ epoch: 6, ids: ["agt_x1"] });
    expect(() => view.requireUntouched({ epoch: 6, ids: ["agt_x2"] })).toThrow("identity_revoked");
  });
});
