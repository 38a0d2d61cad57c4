/** A signed bundle into force, by two admins; and the freeze, which one admin may put on and lift. */
import { type FreezeAnswer, freezeAnswer } from "@trustwarden/core/api/approval.ts";
import { policyLoadAnswer } from "@trustwarden/core/api/policy.ts";
import { encodeBase64 } from "@trustwarden/core/bytes.ts";
import { type ReactElement, type SubmitEvent, useState } from "react";
import { useAct } from "../api/use-act.ts";
import { formatCount, formatTime } from "../parts/format.ts";
import { Badge, Command, Facts, Panel } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { Outcome } from "../parts/second-admin.tsx";

const HOURS = [1, 4, 24] as const;
const HOUR_SECONDS = 3600;

/** The form that loads. @param onDone - told when the policy is in force. */
export function LoadPolicy({ onDone }: { readonly onDone: () => void }): ReactElement {
  const [unread, setUnread] = useState<unknown>(null);
  const loading = useAct(policyLoadAnswer, onDone);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const file = new FormData(event.currentTarget).get("signed");
    if (!(file instanceof File)) return;
    setUnread(null);
    file
      .arrayBuffer()
      .then((bytes) =>
        loading.mutate({ path: "/v1/policy", body: { bundle: encodeBase64(new Uint8Array(bytes)) } }),
      )
      .catch(setUnread);
  };
  return (
    <div className="stack">
      <form className="stack" onSubmit={submit} aria-label="Load a policy">
        <label className="field">
          <span>Signed bundle</span>
          <input type="file" name="signed" required accept=".gz,application/gzip" />
          <small>Every decision of before is void when it is in force</small>
        </label>
        <div className="row">
          <button type="submit" disabled={loading.isPending}>
            Put it in force
          </button>
        </div>
      </form>
      {unread === null ? null : (
        <Problem error={unread instanceof Error ? unread : new Error(String(unread))} />
      )}
      <Outcome act={loading} />
      {loading.data === undefined ? null : (
        <p role="status" data-loaded={loading.data.version}>
          {loading.data.name} version {loading.data.version} is in force; {formatCount(loading.data.acked)}{" "}
          verifiers know, {formatCount(loading.data.expired)} leases ran out.
        </p>
      )}
    </div>
  );
}

/** The freeze that is on, or the way to one. */
export function Freeze({
  freeze,
  isAdmin,
  onChanged,
}: {
  readonly freeze: FreezeAnswer["freeze"];
  readonly isAdmin: boolean;
  readonly onChanged: () => void;
}): ReactElement | null {
  const changing = useAct(freezeAnswer, onChanged);
  if (freeze === null && !isAdmin) return null;
  const lift = () => changing.mutate({ path: "/v1/policy/freeze", body: { freeze: null } });
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const until = Math.floor(Date.now() / 1000) + Number(form.get("hours")) * HOUR_SECONDS;
    changing.mutate({ path: "/v1/policy/freeze", body: { freeze: { reason: form.get("reason"), until } } });
  };
  if (freeze === null) {
    return (
      <Panel title="Freeze">
        <div className="panel-body stack">
          <form className="stack" onSubmit={submit} aria-label="Freeze">
            <p className="muted">
              While it is on, agents read and change nothing. One admin puts it on and lifts it.
            </p>
            <label className="field">
              <span>Why</span>
              <input name="reason" required maxLength={256} autoComplete="off" />
            </label>
            <label className="field">
              <span>For</span>
              <select name="hours" defaultValue={HOURS[0]}>
                {HOURS.map((hours) => (
                  <option key={hours} value={hours}>
                    {hours} h
                  </option>
                ))}
              </select>
            </label>
            <div className="row">
              <button type="submit" className="danger" disabled={changing.isPending}>
                Freeze
              </button>
            </div>
          </form>
          <Outcome act={changing} />
          <Command text="warden policy freeze on --help" />
        </div>
      </Panel>
    );
  }
  const { reason, since, until } = freeze;
  return (
    <Panel title="Freeze" aside={<Badge tone="warn">frozen</Badge>}>
      <Facts
        facts={[
          ["Why", reason],
          ["Since", formatTime(since)],
          ["Until", until === null ? "it is lifted" : formatTime(until)],
        ]}
      />
      {isAdmin ? (
        <div className="panel-body stack">
          <div className="row">
            <button type="button" disabled={changing.isPending} onClick={lift}>
              Lift it
            </button>
          </div>
          <Outcome act={changing} />
        </div>
      ) : null}
    </Panel>
  );
}
