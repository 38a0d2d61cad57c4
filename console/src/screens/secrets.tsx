/** Secrets: values go in and never come out; what is shown is who may use them, and where. */

import { useMutation } from "@tanstack/react-query";
import { type SecretAnswer, secretAnswer, secretList } from "@trustwarden/core/api/secrets.ts";
import { type ReactElement, type SubmitEvent, useState } from "react";
import { callApi } from "../api/client.ts";
import { useApi } from "../api/use-api.ts";
import { formatTime } from "../parts/format.ts";
import { Badge, Empty, Panel, Table, Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";

/** The screen. */
export function Secrets(): ReactElement {
  const list = useApi("/v1/secrets", secretList);
  return (
    <>
      <header className="screen-head">
        <h1>Secrets</h1>
        <p>Agents hold none. The gateway puts them into calls that were allowed.</p>
      </header>
      <Panel title="Kept">
        {list.isPending ? <Waiting what="Reading" /> : null}
        {list.isError ? <Problem error={list.error} retry={() => void list.refetch()} /> : null}
        {list.data?.secrets.length === 0 ? (
          <Empty title="No secret yet" command="warden secret put openai --help">
            A secret is for upstreams and agents that you name, and for nobody by default.
          </Empty>
        ) : null}
        {list.data === undefined || list.data.secrets.length === 0 ? null : (
          <SecretTable secrets={list.data.secrets} onChanged={() => void list.refetch()} />
        )}
      </Panel>
    </>
  );
}

function SecretTable({
  secrets,
  onChanged,
}: {
  readonly secrets: readonly SecretAnswer[];
  readonly onChanged: () => void;
}): ReactElement {
  return (
    <Table columns={["Name", "For", "Agents", "Changed", "New value"]}>
      {secrets.map((secret) => (
        <tr key={secret.secret_id} data-secret={secret.name}>
          <td>
            {secret.name} {secret.is_disabled ? <Badge tone="bad">disabled</Badge> : null}
          </td>
          <td>{secret.upstreams.map(({ name }) => name).join(", ") || "nothing"}</td>
          <td>{secret.agents.join(", ") || "nobody"}</td>
          <td>
            {formatTime(secret.changed_at)}, version {secret.versions[0]?.version ?? 0}
          </td>
          <td>
            <NewValue name={secret.name} onChanged={onChanged} />
          </td>
        </tr>
      ))}
    </Table>
  );
}

function NewValue({
  name,
  onChanged,
}: {
  readonly name: string;
  readonly onChanged: () => void;
}): ReactElement {
  const [value, setValue] = useState("");
  const changing = useMutation({
    mutationFn: () =>
      callApi({
        path: `/v1/secrets/${name}/versions`,
        body: { value, reason: "console" },
        answer: secretAnswer,
      }),
    onSuccess: onChanged,
    onSettled: () => setValue(""),
  });
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    changing.mutate();
  };
  return (
    <form className="row" onSubmit={submit}>
      <input
        type="password"
        autoComplete="off"
        aria-label={`New value of ${name}`}
        value={value}
        maxLength={4096}
        required
        onChange={(event) => setValue(event.target.value)}
      />
      <button type="submit" disabled={changing.isPending}>
        Replace
      </button>
      {changing.isSuccess ? <span role="status">Replaced</span> : null}
      {changing.isError ? <Problem error={changing.error} /> : null}
    </form>
  );
}
