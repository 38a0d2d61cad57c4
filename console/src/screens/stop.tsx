/** The stop button: one clear step that says what it does and what undoes it, and then what it did, measured. */

import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type RevocationAnswer, revocationAnswer } from "@trustwarden/core/api/revocation.ts";
import { type ReactElement, useRef } from "react";
import { callApi } from "../api/client.ts";
import { formatCount } from "../parts/format.ts";
import { Icon } from "../parts/icons.tsx";
import { Problem } from "../parts/problem.tsx";

interface StopTarget {
  readonly kind: "agent" | "owner";
  readonly id: string;
}

interface Stopped {
  readonly answer: RevocationAnswer;
  readonly elapsedMs: number;
}

async function stop(target: StopTarget): Promise<Stopped> {
  const startedMs = performance.now();
  const body = { target, reason: "stopped in the console" };
  const answer = await callApi({ path: "/v1/revocations", body, answer: revocationAnswer });
  return { answer, elapsedMs: performance.now() - startedMs };
}

/** Stops an agent or everything of an owner. */
export function Stop({
  target,
  name,
  isStopped,
  onStopped,
}: {
  readonly target: StopTarget;
  readonly name: string;
  readonly isStopped: boolean;
  readonly onStopped: () => void;
}): ReactElement {
  const dialog = useRef<HTMLDialogElement>(null);
  const stopping = useMutation({ mutationFn: () => stop(target), onSuccess: onStopped });
  return (
    <>
      <button
        type="button"
        className="danger"
        disabled={isStopped}
        onClick={() => dialog.current?.showModal()}
      >
        <Icon name="stop" /> {isStopped ? "Stopped" : "Stop"}
      </button>
      <dialog ref={dialog} aria-labelledby="stop-title">
        <h2 id="stop-title">{stopping.isSuccess ? `${name} is stopped` : `Stop ${name}?`}</h2>
        {stopping.isSuccess ? <Done stopped={stopping.data} /> : <Meaning target={target} name={name} />}
        {stopping.isError ? <Problem error={stopping.error} /> : null}
        <div className="dialog-foot">
          <button type="button" onClick={() => dialog.current?.close()}>
            {stopping.isSuccess ? "Close" : "Leave it running"}
          </button>
          {stopping.isSuccess ? null : (
            <button
              type="button"
              className="danger"
              disabled={stopping.isPending}
              onClick={() => stopping.mutate()}
            >
              <Icon name="stop" /> {stopping.isPending ? "Stopping" : "Stop it now"}
            </button>
          )}
        </div>
      </dialog>
    </>
  );
}

function Meaning({ target, name }: { readonly target: StopTarget; readonly name: string }): ReactElement {
  return (
    <div className="stack">
      <p>
        {target.kind === "agent"
          ? `Every instance of ${name} and of every agent below it is refused everywhere within one second.`
          : `Every agent of ${name} is refused everywhere within one second, and no new one can begin.`}{" "}
        Calls that run are cut. Nobody else is touched.
      </p>
      <p className="muted">
        {target.kind === "agent"
          ? "The identities that exist now do not come back. To let it run again, its owner signs a new ticket; its history stays."
          : "An owner who was stopped does not come back; somebody else has to answer for the agents."}
      </p>
    </div>
  );
}

function Done({ stopped: { answer, elapsedMs } }: { readonly stopped: Stopped }): ReactElement {
  const { instances, acked, expired, elapsed_ms: serverMs, event_id: id, recorded } = answer;
  return (
    <div className="stack" data-stopped={answer.epoch}>
      <p>
        <strong>{formatCount(instances)}</strong> instances died, in{" "}
        <strong>{Math.round(serverMs)} ms</strong> ( {Math.round(elapsedMs)} ms seen from this browser).{" "}
        {formatCount(acked)} verifiers confirmed it, {formatCount(expired)} had let their lease run out.
      </p>
      <p>
        {recorded ? (
          <Link to="/question" search={{ q: id }}>
            See the proof
          </Link>
        ) : (
          "It is in force; the ledger could not record it yet and will."
        )}
      </p>
    </div>
  );
}
