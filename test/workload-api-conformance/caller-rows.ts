/** What depends on who asks and when: callers without an identity, and state over time. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { firstMessage, type Method, parseX509State, startMethod } from "./api.ts";
import { splitCertificates } from "./certificates.ts";
import type { Ending, Target } from "./grpc.ts";
import { type Bench, Failed, NotSeen, type Row, requireStatus, requireThat, type Watched } from "./row.ts";

const REFUSAL_TEXT = "no identity issued";
/** An agent may learn of it by asking its server every few seconds. */
const WITHDRAWAL_MS = 30_000;
const STREAMS: readonly Method[] = ["FetchX509SVID", "FetchX509Bundles", "FetchJWTBundles"];

/** Asks as another user, in a process of its own; null when a message came instead of a refusal. */
async function askAsStranger(
  { strangerUid, target, patienceMs }: Bench,
  method: Method,
): Promise<Ending | null> {
  if (strangerUid === null) throw new NotSeen("no user without an identity (--stranger-uid, as root)");
  const child = spawn(
    process.execPath,
    [
      join(import.meta.dirname, "stranger.ts"),
      formatTarget(target),
      method,
      String(patienceMs),
      String(strangerUid),
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let said = "";
  for await (const chunk of child.stdout) said += String(chunk);
  if (said === "") throw new Failed("the stranger's process said nothing");
  return JSON.parse(said);
}

function formatTarget(target: Target): string {
  return target.kind === "unix" ? `unix://${target.path}` : `tcp://${target.host}:${target.port}`;
}

/** A caller with no identity is refused by this call. */
function refusesStranger(id: string, method: Method, level: "S" | "B"): Row {
  return {
    id,
    level,
    text: `${method} for a caller without an identity: PermissionDenied "${REFUSAL_TEXT}"`,
    check: async (bench) => {
      const ending = await askAsStranger(bench, method);
      const said = requireStatus(ending, "permissionDenied");
      requireThat(ending?.message === REFUSAL_TEXT, said);
      return said;
    },
  };
}

const strangerRows: readonly Row[] = [
  refusesStranger("A-9a", "FetchX509SVID", "S"),
  refusesStranger("A-9b", "FetchJWTSVID", "S"),
  refusesStranger("A-9c", "FetchX509Bundles", "B"),
  refusesStranger("A-9d", "FetchJWTBundles", "B"),
];

/** What the streams said while they were watched. */
function requireWatched({ watched }: Bench): Watched {
  if (watched === null) throw new NotSeen("nobody watched (--watch SECONDS)");
  return watched;
}

const timeRows: readonly Row[] = [
  {
    id: "A-7",
    level: "T",
    text: "the default identity is the first, and the order is the same on each stream",
    check: (bench) =>
      bench.using(async (connection) => {
        const orders = new Set<string>();
        for (let index = 0; index < 5; index += 1) {
          const { message } = await firstMessage(startMethod(connection, "FetchX509SVID"), bench.patienceMs);
          requireThat(message !== null, "nothing came in time");
          orders.add(
            parseX509State(message)
              .svids.map(({ spiffeId }) => spiffeId)
              .join(", "),
          );
        }
        requireThat(orders.size === 1, [...orders].join(" | "));
        return [...orders].join();
      }),
  },
  {
    id: "A-3",
    level: "M",
    text: "each later message is the whole state again, with every SVID, its key and its bundle",
    check: (bench) => {
      const [first, ...later] = requireWatched(bench).x509;
      requireThat(first !== undefined, "nothing came");
      if (later.length === 0) throw new NotSeen("nothing changed while it was watched");
      for (const message of later) {
        const { svids } = parseX509State(message);
        requireThat(svids.length > 0, "a message without SVIDs");
        for (const { x509Svid, x509SvidKey, bundle } of svids) {
          requireThat(x509SvidKey.length > 0, "a message without a key");
          requireThat(splitCertificates(x509Svid).length > 0, "a message without a chain");
          requireThat(splitCertificates(bundle).length > 0, "a message without a bundle");
        }
      }
      return `${later.length} change(s)`;
    },
  },
  {
    id: "A-4",
    level: "S",
    text: "a rotation is pushed before the old SVID expires, with a new key or certificate",
    check: (bench) => {
      const states = requireWatched(bench).x509.map((message) => parseX509State(message));
      const leaves = states.map(({ svids }) => Buffer.from(svids[0]?.x509Svid ?? []).toString("base64"));
      const distinct = new Set(leaves).size;
      if (distinct < 2) throw new NotSeen("no rotation while it was watched");
      return `${distinct} certificates`;
    },
  },
  {
    id: "B-same",
    level: "B",
    text: "bundle streams never send the same message twice running",
    check: (bench) => {
      const { x509Bundles, jwtBundles } = requireWatched(bench);
      const streams = [x509Bundles, jwtBundles];
      for (const messages of streams)
        for (const [index, message] of messages.entries())
          requireThat(
            index === 0 || !Buffer.from(message).equals(messages[index - 1] ?? Buffer.alloc(0)),
            "a message was repeated",
          );
      return streams.map((messages) => `${messages.length} message(s)`).join(", ");
    },
  },
];

/** Runs after everything else: nobody is served here any more. */
export const withdrawalRows: readonly Row[] = [
  {
    id: "A-3w",
    level: "M",
    text: "when the identity is withdrawn, open streams learn it, and new calls are refused: PermissionDenied",
    check: (bench) =>
      bench.using(async (connection) => {
        if (bench.withdraw === null) throw new NotSeen("nobody withdraws it (--withdraw COMMAND)");
        const calls = STREAMS.map((method) => startMethod(connection, method));
        for (const call of calls) await call.next(0, bench.patienceMs);
        const startedAt = performance.now();
        await bench.withdraw();
        const late = setTimeout(() => connection.close(), WITHDRAWAL_MS);
        const endings = await Promise.all(calls.map(({ ending }) => ending));
        clearTimeout(late);
        const took = `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
        for (const ending of endings) requireStatus(ending, "permissionDenied");
        const again = startMethod(connection, "FetchJWTSVID");
        requireStatus((await firstMessage(again, bench.patienceMs)).ending, "permissionDenied");
        return took;
      }),
  },
];

export const callerRows: readonly Row[] = [...strangerRows, ...timeRows];
