/** Could an agent do this? The server decides it as it would decide the action itself, and records that it was asked. */

import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { evaluationAnswer } from "@trustwarden/core/api/authzen.ts";
import { type ReactElement, type SubmitEvent, useState } from "react";
import { callApi } from "../api/client.ts";
import { Badge } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";

/** @see OpenID AuthZEN Authorization API 1.0 §6 */
export function Could({ agentId }: { readonly agentId: string }): ReactElement {
  const [text, setText] = useState("");
  const asking = useMutation({
    mutationFn: (action: string) => {
      const [verb = "", type = "", ...path] = action.trim().split(":");
      const body = {
        subject: { type: "agent", id: agentId },
        action: { name: verb },
        resource: { type, id: path.join(":") },
      };
      return callApi({ path: "/access/v1/evaluation", body, answer: evaluationAnswer });
    },
  });
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    asking.mutate(text);
  };
  return (
    <form className="panel-body stack" onSubmit={submit}>
      <label className="field">
        <span>An action</span>
        <input
          name="action"
          value={text}
          required
          pattern="[a-z][^:]*:[^:]+:.+"
          placeholder="read:doc:reports/q3"
          spellCheck={false}
          onChange={(event) => setText(event.target.value)}
        />
        <small>verb:type:path, in the words of a scope</small>
      </label>
      <div className="row">
        <button type="submit" disabled={asking.isPending}>
          Ask
        </button>
        {asking.data === undefined ? null : <Said answer={asking.data} />}
      </div>
      {asking.isError ? <Problem error={asking.error} /> : null}
    </form>
  );
}

function Said({ answer }: { readonly answer: ReturnType<typeof evaluationAnswer.parse> }): ReactElement {
  const { decision, context } = answer;
  return (
    <span className="row">
      <Badge tone={decision ? "good" : "bad"}>{decision ? "it could" : "it could not"}</Badge>
      {context === undefined ? null : (
        <>
          <span>{context.reasons.join(", ")}</span>
          <Link to="/question" search={{ q: context.id }}>
            class {context.class}
          </Link>
        </>
      )}
    </span>
  );
}
