/** Which certificates a relay knows to be stopped, and when it may rely on that. */
import { createTestDomain, NOW } from "@trustwarden/core/agentid/certificate.test.support.ts";
import { issueCertificateRevocationList } from "@trustwarden/core/agentid/certificate-revocation-list.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatPem } from "@trustwarden/core/pem.ts";
import fc from "fast-check";
import { expect, it, vi } from "vitest";
import { StoppedList } from "./stopped-list.ts";

const { intermediate, signers } = createTestDomain();
const listOf = (serials: readonly string[]) =>
  encodeUtf8(
    formatPem(
      "X509 CRL",
      issueCertificateRevocationList({
        ca: intermediate,
        signer: signers.intermediate,
        number: 1,
        now: NOW,
        ttlSeconds: 3600,
        revoked: serials.map((serialHex) => ({ serialHex, revokedAt: NOW, reason: "privilege_withdrawn" })),
      }),
    ),
  );

/** Its server, which gives the first two answers when the test lets it. */
function openList(serials: readonly string[]) {
  const answers = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let asked = 0;
  const list = new StoppedList({
    readPublic: async () => {
      const mine = answers[asked];
      asked += 1;
      await mine?.promise;
      return { status: 200, body: listOf(serials), etag: `"${asked}"` };
    },
  });
  return { list, answers, asked: () => asked };
}

it("is current only when a list that was asked for after an epoch is here", async () => {
  const { list, answers, asked } = openList(["2a"]);
  expect(list.isCurrent).toBe(false);
  list.want(0);
  list.want(5);
  answers[0]?.resolve();
  await vi.waitUntil(() => asked() === 2);
  expect([list.isCurrent, list.has("2a"), list.has("2b")]).toEqual([false, true, false]);
  answers[1]?.resolve();
  await vi.waitUntil(() => list.isCurrent);
});

it.each([
  ["the server cannot be reached", () => Promise.reject(new TrustWardenError("server_unreachable"))],
  ["it refuses", () => Promise.resolve({ status: 503, body: new Uint8Array() })],
  ["there is no list in the answer", () => Promise.resolve({ status: 200, body: new Uint8Array() })],
  [
    "the answer is no list",
    () => Promise.resolve({ status: 200, body: encodeUtf8(formatPem("X509 CRL", new Uint8Array([48, 0]))) }),
  ],
])("is not current while %s, and asks again", async (_, fail) => {
  let [tries, isFailing] = [0, true];
  const list = new StoppedList(
    {
      readPublic: () => {
        tries += 1;
        return isFailing ? fail() : Promise.resolve({ status: 200, body: listOf([]) });
      },
    },
    { retryMs: 1 },
  );
  list.want(1);
  await vi.waitUntil(() => tries > 3);
  expect(list.isCurrent).toBe(false);
  isFailing = false;
  await vi.waitUntil(() => list.isCurrent);
});

it("says when it knows the stops of an epoch, and not before, however many come behind it", async () => {
  const { list, answers } = openList([]);
  const known: number[] = [];
  list.want(1);
  const first = list.whenCurrent().then(() => known.push(1));
  list.want(2);
  const second = list.whenCurrent().then(() => known.push(2));
  answers[0]?.resolve();
  await first;
  expect(known).toEqual([1]);
  answers[1]?.resolve();
  await second;
  await list.whenCurrent();
  expect(known).toEqual([1, 2]);
});

it("asks no more when it is closed", async () => {
  let tries = 0;
  const list = new StoppedList(
    {
      readPublic: () => {
        tries += 1;
        return Promise.resolve({ status: 503, body: new Uint8Array() });
      },
    },
    { retryMs: 1 },
  );
  list.want(1);
  await vi.waitUntil(() => tries > 2);
  list.close();
  await new Promise((resolve) => setTimeout(resolve, 20));
  const then = tries;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(tries).toBe(then);
});

/** What a relay lives through, in any order. */
type Step = "stop" | "restart" | "gap" | "come" | "server away" | "server back";

it("never lets in whom a stop named before, whatever happens to relay and server in between", async () => {
  const step = fc.constantFrom<Step>("stop", "restart", "gap", "come", "come", "server away", "server back");
  let letIn = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 30 }), async (steps) => {
      let [epoch, isAway, next] = [0, false, 1];
      const stopped: string[] = [];
      const readPublic = async () => {
        await new Promise((resolve) => setImmediate(resolve));
        if (isAway) throw new TrustWardenError("server_unreachable");
        return { status: 200, body: listOf(stopped), etag: `"${epoch}"` };
      };
      const start = () => {
        const list = new StoppedList({ readPublic }, { retryMs: 1 });
        list.want(epoch);
        return list;
      };
      let relay = start();
      // What a relay that was connected heard by the feed.
      let heard = new Set<string>();
      for (const one of steps) {
        if (one === "stop") {
          epoch += 1;
          const serial = (15 + next).toString(16).padStart(2, "0");
          next += 1;
          stopped.push(serial);
          heard.add(serial);
        }
        if (one === "restart") {
          relay.close();
          heard = new Set();
          relay = start();
        }
        if (one === "gap") {
          heard = new Set();
          relay.want(epoch);
        }
        if (one === "server away") isAway = true;
        if (one === "server back") isAway = false;
        await new Promise((resolve) => setImmediate(resolve));
        const isLetIn = (serial: string) => relay.isCurrent && !relay.has(serial) && !heard.has(serial);
        if (one === "come" && isLetIn("ff")) letIn += 1;
        if (one === "come") expect(stopped.filter(isLetIn)).toEqual([]);
      }
      relay.close();
    }),
    { numRuns: 60 },
  );
  expect(letIn).toBeGreaterThan(20);
});
