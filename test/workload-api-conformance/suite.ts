/** The whole suite: one look as a well-behaved caller, then every row. */
import {
  firstMessage,
  type Method,
  parseJwtBundles,
  parseX509Bundles,
  parseX509State,
  startMethod,
} from "./api.ts";
import { callerRows, withdrawalRows } from "./caller-rows.ts";
import { endpointRows } from "./endpoint-rows.ts";
import { type Connection, parseTarget } from "./grpc.ts";
import { jwtRows } from "./jwt-rows.ts";
import { robustnessRows } from "./robustness-rows.ts";
import {
  createBench,
  describeEnding,
  judgeRow,
  type Row,
  type RowVerdict,
  type Snapshot,
  type Watched,
} from "./row.ts";
import { validateRows } from "./validate-rows.ts";
import { witRows } from "./wit-rows.ts";
import { domainOf, x509Rows } from "./x509-rows.ts";

const PATIENCE_MS = 5_000;

/** In the order in which they run; what a flood may leave behind comes last. */
const ROWS: readonly Row[] = [
  ...endpointRows,
  ...x509Rows,
  ...jwtRows,
  ...validateRows,
  ...callerRows,
  ...witRows,
  ...robustnessRows,
  ...withdrawalRows,
];
const NOTHING: Snapshot = {
  x509: { svids: [], crls: [], federatedBundles: new Map() },
  x509Bundles: new Map(),
  jwtBundles: new Map(),
  ownDomain: "",
};

export interface SuiteOptions {
  /** `unix:///path` or `tcp://IP:port`. */
  readonly socket: string;
  readonly watchSeconds?: number;
  readonly strangerUid?: number | null;
  /** Takes the identity of this process away. */
  readonly withdraw?: (() => Promise<void>) | null;
  /** Which rows, by their id; all unless given. */
  readonly selects?: (id: string) => boolean;
}

/**
 * Runs the rows one after the other.
 *
 * @throws Error when the endpoint serves no identity to this process: there is nothing to judge then.
 */
export async function runSuite({
  socket,
  watchSeconds = 0,
  strangerUid = null,
  withdraw = null,
  selects = () => true,
}: SuiteOptions): Promise<readonly RowVerdict[]> {
  const looker = createBench({
    ...{ target: parseTarget(socket), patienceMs: PATIENCE_MS, strangerUid, withdraw, watched: null },
    snapshot: NOTHING,
  });
  const snapshot = await looker.using(takeSnapshot);
  const watched = watchSeconds === 0 ? null : await looker.using((one) => watch(one, watchSeconds * 1000));
  const bench = createBench({ ...looker, snapshot, watched });
  const verdicts: RowVerdict[] = [];
  for (const row of ROWS.filter(({ id }) => selects(id))) verdicts.push(await judgeRow(row, bench));
  return verdicts;
}

async function takeSnapshot(connection: Connection): Promise<Snapshot> {
  const x509 = parseX509State(await requireMessage(connection, "FetchX509SVID"));
  const x509Bundles = parseX509Bundles(await requireMessage(connection, "FetchX509Bundles"));
  const jwtBundles = parseJwtBundles(await requireMessage(connection, "FetchJWTBundles"));
  return { x509, x509Bundles, jwtBundles, ownDomain: domainOf(x509.svids[0]?.spiffeId ?? "") };
}

async function requireMessage(connection: Connection, method: Method): Promise<Uint8Array> {
  const { message, ending } = await firstMessage(startMethod(connection, method), PATIENCE_MS);
  if (message === null)
    throw new Error(
      `${method} serves nothing here: ${ending ? describeEnding(ending) : "nothing came in time"}`,
    );
  return message;
}

async function watch(connection: Connection, timeMs: number): Promise<Watched> {
  const calls = (["FetchX509SVID", "FetchX509Bundles", "FetchJWTBundles"] as const).map((method) =>
    startMethod(connection, method),
  );
  await new Promise((resolve) => setTimeout(resolve, timeMs));
  for (const call of calls) call.cancel();
  const [x509 = [], x509Bundles = [], jwtBundles = []] = calls.map(({ messages }) => messages);
  return { x509, x509Bundles, jwtBundles };
}
