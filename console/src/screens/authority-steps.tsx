/** Steps of the authority's keys, each by two admins: the server says what may follow what. */
import {
  type AuthorityAnswer,
  type AuthorityStepAnswer,
  authorityStepAnswer,
} from "@trustwarden/core/api/authority.ts";
import { type ReactElement, type SubmitEvent, useState } from "react";
import { useAct } from "../api/use-act.ts";
import { formatCount } from "../parts/format.ts";
import { Outcome } from "../parts/second-admin.tsx";

const KINDS = ["root", "intermediate", "jwt", "wit"] as const;
/** What a step does, in words; `of` is what it is taken on, and `force` what it is when it does not wait. */
const STEPS = [
  {
    step: "rotate",
    of: "kind",
    meaning: "make the next key and change to it when it was published for long enough",
    force: "at once, and have every SVID of the old key renewed",
  },
  { step: "prepare", of: "kind", meaning: "make the next key, and publish it", force: null },
  {
    step: "activate",
    of: "kind",
    meaning: "sign with the prepared key from now on",
    force: "although it was not published for long enough",
  },
  {
    step: "retire",
    of: "key",
    meaning: "take a superseded key out of the bundle",
    force: "although SVIDs of it may still be valid",
  },
  { step: "taint", of: "key", meaning: "have everything that it signed renewed now", force: null },
  { step: "revoke", of: "key", meaning: "nothing that it signed is believed any more", force: null },
] as const;

type Step = (typeof STEPS)[number];

/** The form. @param onDone - told after a step was taken. */
export function AuthoritySteps({
  keys,
  onDone,
}: {
  readonly keys: AuthorityAnswer["keys"];
  readonly onDone: () => void;
}): ReactElement {
  const [chosen, setChosen] = useState<Step>(STEPS[0]);
  const taking = useAct(authorityStepAnswer, onDone);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const { step, of, force } = chosen;
    const body = {
      step,
      ...(of === "kind" ? { kind: form.get("on") } : { id: form.get("on") }),
      ...(force === null ? {} : { force: form.get("force") === "on" }),
      reason: form.get("reason"),
    };
    taking.mutate({ path: "/v1/authority/steps", body });
  };
  return (
    <div className="panel-body stack">
      <form className="stack" onSubmit={submit} aria-label="Take a step">
        <label className="field">
          <span>Step</span>
          <select
            value={chosen.step}
            onChange={(event) => setChosen(STEPS.find(({ step }) => step === event.target.value) ?? STEPS[0])}
          >
            {STEPS.map(({ step, meaning }) => (
              <option key={step} value={step}>
                {step}: {meaning}
              </option>
            ))}
          </select>
        </label>
        <On step={chosen} keys={keys} />
        {chosen.force === null ? null : (
          <label className="check">
            <input type="checkbox" name="force" /> <span>{chosen.force}</span>
          </label>
        )}
        <label className="field">
          <span>Reason</span>
          <input name="reason" maxLength={512} autoComplete="off" />
          <small>Kept in the ledger</small>
        </label>
        <div className="row">
          <button type="submit" disabled={taking.isPending}>
            Take this step
          </button>
        </div>
      </form>
      <Outcome act={taking} />
      {taking.data === undefined ? null : <Taken answer={taking.data} />}
    </div>
  );
}

function On({
  step: { of },
  keys,
}: {
  readonly step: Step;
  readonly keys: AuthorityAnswer["keys"];
}): ReactElement {
  if (of === "kind") {
    return (
      <label className="field">
        <span>Kind of key</span>
        <select name="on" defaultValue="intermediate">
          {KINDS.map((kind) => (
            <option key={kind}>{kind}</option>
          ))}
        </select>
      </label>
    );
  }
  return (
    <label className="field">
      <span>Key</span>
      <select name="on">
        {keys.map(({ id, kind, state }) => (
          <option key={`${kind} ${id}`} value={id}>
            {kind} {id.slice(0, 12)}… ({state})
          </option>
        ))}
      </select>
    </label>
  );
}

function Taken({
  answer: { acked, expired, elapsed_ms: elapsedMs },
}: {
  readonly answer: AuthorityStepAnswer;
}): ReactElement {
  return (
    <p role="status" data-step-taken>
      Done in {formatCount(Math.round(elapsedMs))} ms: {formatCount(acked)} verifiers and nodes have confirmed
      it, {formatCount(expired)} leases ran out instead.
    </p>
  );
}
