/** What a draft would change: recorded decisions, decided again on the server, as they come. */

import { Link } from "@tanstack/react-router";
import {
  type ReplayChange,
  type ReplayLine,
  type ReplayResult,
  replayLine,
} from "@trustwarden/core/api/policy.ts";
import { encodeBase64 } from "@trustwarden/core/bytes.ts";
import { type ReactElement, type SubmitEvent, useEffect, useRef, useState } from "react";
import { ApiError, readLines } from "../api/client.ts";
import { formatAgentName, formatCount, formatTime } from "../parts/format.ts";
import { Badge, Command, Empty, Panel, Table, type Tone } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";

const CHOICES = [1000, 10_000, 100_000] as const;
/** As many as a person reads; the command line has a thousand. */
const MAX_SHOWN = 200;

/** How far a replay is, and what it has said. */
interface Replaying {
  readonly decisions: number;
  readonly of: number;
  readonly changes: readonly ReplayChange[];
  readonly result: ReplayResult | null;
}

const BEGUN: Replaying = { decisions: 0, of: 0, changes: [], result: null };

/** The panel. */
export function Replay(): ReactElement {
  const { state, error, isRunning, start, stop } = useReplay();
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const file = form.get("bundle");
    if (file instanceof File) start({ file, limit: Number(form.get("limit")) });
  };
  return (
    <Panel title="What a draft would change">
      <form className="panel-body stack" onSubmit={submit}>
        <p className="muted">
          Recorded decisions are decided again with the draft in the place of your own policy. Nothing is put
          in force, and it need not be signed.
        </p>
        <label className="field">
          <span>Draft</span>
          <input type="file" name="bundle" required accept=".gz,application/gzip" />
        </label>
        <label className="field">
          <span>How far back</span>
          <select name="limit" defaultValue={CHOICES[1]}>
            {CHOICES.map((count) => (
              <option key={count} value={count}>
                the newest {formatCount(count)} decisions
              </option>
            ))}
          </select>
        </label>
        <div className="row">
          <button type="submit" className="primary" disabled={isRunning}>
            What would it change?
          </button>
          {isRunning ? (
            <button type="button" onClick={stop}>
              Cancel
            </button>
          ) : null}
        </div>
        {state === null && error === null ? (
          <Command text="warden policy build ./payments --name payments --revision 1 --output payments.tar.gz" />
        ) : null}
        {isRunning && state !== null ? <Progress state={state} /> : null}
        {error === null ? null : <Problem error={error} />}
      </form>
      {state === null ? null : <Outcome state={state} />}
    </Panel>
  );
}

function Progress({ state: { decisions, of } }: { readonly state: Replaying }): ReactElement {
  return (
    <label className="field">
      <span>{formatCount(decisions)} decisions so far</span>
      <progress value={decisions} max={Math.max(1, of)} />
    </label>
  );
}

const TONES: Readonly<Record<ReplayChange["after"], Tone>> = { allow: "good", ask: "warn", deny: "bad" };

function Outcome({ state: { changes, result } }: { readonly state: Replaying }): ReactElement {
  return (
    <>
      {result === null ? null : <Summary result={result} />}
      {changes.length === 0 ? null : (
        <Table columns={["When", "Who", "What", "Then", "With the draft"]}>
          {changes.map((change) => (
            <tr key={change.event_id} data-change={`${change.before} ${change.after}`}>
              <td>
                <time dateTime={change.timestamp}>{formatTime(change.timestamp)}</time>
              </td>
              <td>{formatAgentName(change.agent_identity)}</td>
              <td>
                <Link to="/question" search={{ q: change.event_id }}>
                  {change.action}
                </Link>{" "}
                <code>{change.resource}</code>
              </td>
              <Effect effect={change.before} reasons={change.reasons_before} />
              <Effect effect={change.after} reasons={change.reasons_after} />
            </tr>
          ))}
        </Table>
      )}
    </>
  );
}

function Effect({
  effect,
  reasons,
}: {
  readonly effect: ReplayChange["after"];
  readonly reasons: readonly string[];
}): ReactElement {
  return (
    <td>
      <Badge tone={TONES[effect]}>{effect}</Badge> <span className="muted">{reasons.join(", ")}</span>
    </td>
  );
}

const NEEDS: Readonly<Record<ReplayResult["needs"][number]["member"], string>> = {
  arguments: "parameters of calls through the gateway, to which the ledger has a commitment only",
  labels: "what the job had read before",
  outside: "whether the action carried anything to where others read it",
  frozen: "whether a freeze was on while something was read",
  selectors: "selectors of an instance that is not registered any more",
  policy: "an answer of the policies of then, which gave none",
};

function Summary({ result }: { readonly result: ReplayResult }): ReactElement {
  const { decisions, same, changed, not_replayed: unknown, needs, has_more: hasMore } = result;
  if (decisions === 0) {
    return (
      <Empty title="Nothing was decided yet" command="./dev quickstart">
        There is no recorded decision to replay. The founding story makes some, with a server of its own.
      </Empty>
    );
  }
  const differing = changed.reduce((sum, { count }) => sum + count, 0);
  return (
    <div className="panel-body stack" role="status" data-replayed={differing}>
      <p>
        {formatCount(decisions)} decisions: {formatCount(same)} unchanged,{" "}
        <strong>{formatCount(differing)} different</strong>, {formatCount(unknown)} could not be replayed.
      </p>
      {changed.length === 0 ? null : (
        <p className="row">
          {changed.map(({ before, after, count }) => (
            <Badge key={`${before} ${after}`} tone={TONES[after]}>
              {formatCount(count)} from {before} to {after}
            </Badge>
          ))}
        </p>
      )}
      {needs.length === 0 ? null : (
        <div>
          <p>What could not be replayed is not guessed. The draft looks at what the ledger does not have:</p>
          <ul>
            {needs.map(({ member, count }) => (
              <li key={member}>
                {NEEDS[member]} ({formatCount(count)})
              </li>
            ))}
          </ul>
        </div>
      )}
      {differing > MAX_SHOWN ? <p className="muted">The newest {MAX_SHOWN} of them:</p> : null}
      {hasMore ? <p className="muted">Older decisions were not looked at.</p> : null}
    </div>
  );
}

interface Running {
  readonly state: Replaying | null;
  readonly error: Error | null;
  readonly isRunning: boolean;
  readonly start: (asked: { readonly file: File; readonly limit: number }) => void;
  readonly stop: () => void;
}

/** One replay at a time; whoever leaves the page ends it. */
function useReplay(): Running {
  const [state, setState] = useState<Replaying | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const [isRunning, setRunning] = useState(false);
  const running = useRef<AbortController | null>(null);
  const stop = () => running.current?.abort();
  useEffect(() => () => running.current?.abort(), []);
  const start = ({ file, limit }: { readonly file: File; readonly limit: number }) => {
    const controller = new AbortController();
    running.current = controller;
    setState({ ...BEGUN, of: limit });
    setError(null);
    setRunning(true);
    run({ file, limit, signal: controller.signal }, (line) =>
      setState((before) => withLine(before ?? BEGUN, line)),
    )
      .catch((cause: unknown) => {
        if (!controller.signal.aborted) setError(cause instanceof Error ? cause : new Error(String(cause)));
      })
      .finally(() => setRunning(false));
  };
  return { state, error, isRunning, start, stop };
}

async function run(
  asked: { readonly file: File; readonly limit: number; readonly signal: AbortSignal },
  tell: (line: ReplayLine) => void,
): Promise<void> {
  const { file, limit, signal } = asked;
  const bundle = encodeBase64(new Uint8Array(await file.arrayBuffer()));
  let end: ReplayLine | null = null;
  await readLines(
    { path: "/v1/policy/replays", body: { bundle, limit }, answer: replayLine, signal },
    (line) => {
      end = line;
      tell(line);
    },
  );
  requireEnd(end);
}

/** What fails on the way is the last line; a stream without an end was cut. */
function requireEnd(end: ReplayLine | null): void {
  if (end !== null && "result" in end) return;
  const message = end !== null && "error" in end ? end.error.message : "The replay was cut off.";
  throw new ApiError({ code: "unknown", status: 0, message });
}

function withLine(state: Replaying, line: ReplayLine): Replaying {
  if ("change" in line) {
    return state.changes.length < MAX_SHOWN ? { ...state, changes: [...state.changes, line.change] } : state;
  }
  if ("progress" in line) return { ...state, ...line.progress };
  if ("result" in line) return { ...state, result: line.result };
  return state;
}
