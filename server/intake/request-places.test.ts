/** Whose a request is, and how much of the places each owner and each of its agents may hold. */
import { Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { expectCode } from "../../test/support/expect-code.ts";
import { OpenStreams } from "./open-streams.ts";
import { Pace } from "./pace.ts";
import { type Place, placeOf, type RequestFlow, RequestPlaces } from "./request-places.ts";

const ALICE = { owner: "own_alice", agent: "agt_1", principal: "spiffe://acme.test/a" };
const ALICES_OTHER = { owner: "own_alice", agent: "agt_2", principal: "spiffe://acme.test/b" };
const BOB = { owner: "own_bob", agent: "agt_3", principal: "spiffe://acme.test/c" };

let requests: RequestPlaces;
/** Whose requests were refused before anybody was asked for them. */
let refused: unknown[] = [];
beforeEach(() => {
  refused = [];
  requests = new RequestPlaces(new Pace({ most: 60, delayMs: 100, monoMs: () => 0 }), ({ details }) =>
    refused.push(details.principal),
  );
});
afterEach(() => requests.close());

/** A request over a connection that proved itself as somebody. */
function arrive(flow?: RequestFlow): Place {
  const socket = new Socket();
  if (flow !== undefined) requests.know(socket, flow);
  const place = requests.knock({ socket });
  place.take();
  return place;
}

/** Arrives until refused. */
function flood(flow?: RequestFlow): Place[] {
  const held: Place[] = [];
  for (;;) {
    try {
      held.push(arrive(flow));
    } catch {
      return held;
    }
  }
}

describe("places of requests", () => {
  it("leave room for an owner, however much the agents of another ask", () => {
    flood(ALICE);
    flood(ALICES_OTHER);
    expect(requests.held).toBeLessThan(45);
    for (let asked = 0; asked < 6; asked += 1) arrive(BOB);
  });

  it("leave room for an owner's other agent, however much the first asks", () => {
    const first = flood(ALICE).length;
    expect(first).toBe(20);
    expect(flood(ALICES_OTHER).length).toBeGreaterThan(3);
  });

  it("are of whom a new connection's handshake proved from its first request on, and each is asked once", () => {
    requests.close();
    const asked: Socket[] = [];
    const alices = new Socket();
    requests = new RequestPlaces(
      new Pace({ most: 60, delayMs: 100, monoMs: () => 0 }),
      () => undefined,
      (socket) => {
        asked.push(socket);
        return socket === alices ? ALICE : undefined;
      },
    );
    for (const socket of [alices, alices, new Socket()]) requests.knock({ socket });
    expect(asked).toHaveLength(2);
    expect(requests.ownerOf(alices)).toBe("own_alice");
    requests.know(alices, BOB);
    expect(requests.ownerOf(alices)).toBe("own_bob");
  });

  it("name who was refused, or nobody where nobody is proven", () => {
    flood(ALICE);
    expect(() => arrive(ALICE)).toThrow(
      expect.objectContaining({
        code: "overloaded",
        details: expect.objectContaining({ principal: ALICE.principal, retryAfterSeconds: 1 }),
      }),
    );
    flood();
    expect(() => arrive()).toThrow(
      expect.objectContaining({ details: expect.not.objectContaining({ principal: expect.anything() }) }),
    );
  });

  it("tell of whoever is refused at its head or when all of it is here, once", () => {
    const socket = new Socket();
    requests.know(socket, ALICE);
    const late = requests.knock({ socket });
    flood(ALICE);
    refused = [];
    expectCode(() => late.take(), "overloaded");
    expectCode(() => arrive(ALICE), "overloaded");
    expect(refused).toEqual([ALICE.principal, ALICE.principal]);
    const stranger = arrive();
    expectCode(() => stranger.moveTo(ALICE), "overloaded");
    expect(refused).toHaveLength(2);
  });

  it("are those of a network of strangers together, however many addresses of it they have", () => {
    const at = (address: string): void => {
      const socket = new Socket();
      Object.defineProperty(socket, "remoteAddress", { value: address });
      requests.knock({ socket }).take();
    };
    const crowd = (): number => {
      for (let host = 1; ; host += 1) {
        try {
          at(`2001:db8:1:2::${host.toString(16)}`);
        } catch {
          return requests.held;
        }
      }
    };
    expect(crowd()).toBe(30);
    expect(() => at("2001:db8:1:2:ffff::1")).toThrow(expect.objectContaining({ code: "overloaded" }));
    at("2001:db8:1:3::1");
    at("192.0.2.1");
    expect(requests.held).toBe(32);
  });

  it("move to the caller when it is proven, and are given back when it has no room there", () => {
    const strangers = arrive();
    strangers.moveTo(BOB);
    expect(requests.held).toBe(1);
    flood(ALICE);
    const held = requests.held;
    const late = arrive();
    expectCode(() => late.moveTo(ALICE), "overloaded");
    expect(requests.held).toBe(held);
    late.leave();
    expect(requests.held).toBe(held);
  });

  it("are found again by the request, and given back once", () => {
    const request = { socket: new Socket() };
    const place = requests.knock(request);
    expect(placeOf(request)).toBe(place);
    expect(requests.held).toBe(0);
    place.take();
    place.take();
    expect(requests.held).toBe(1);
    place.leave();
    place.leave();
    expect(requests.held).toBe(0);
    placeOf({ socket: new Socket() }).leave();
    expect(requests.held).toBe(0);
  });
});

describe("open streams", () => {
  it("are eight for one principal, and one more when one has ended", () => {
    const streams = new OpenStreams();
    const [leave] = Array.from({ length: 8 }, () => streams.enter("person:prs_1"));
    expectCode(() => streams.enter("person:prs_1"), "overloaded");
    streams.enter("person:prs_2");
    leave?.();
    leave?.();
    streams.enter("person:prs_1");
    expectCode(() => streams.enter("person:prs_1"), "overloaded");
  });

  it("are bounded for all together", () => {
    const streams = new OpenStreams();
    for (let open = 0; open < 512; open += 1) streams.enter(`person:prs_${open}`);
    expectCode(() => streams.enter("person:prs_new"), "overloaded");
  });
});
