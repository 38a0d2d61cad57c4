/** What an agent could do, searched: with a thing, or on which things. Each candidate is decided by the server. */
import { useMutation } from "@tanstack/react-query";
import { actionSearchAnswer, entitySearchAnswer } from "@trustwarden/core/api/authzen.ts";
import { type ReactElement, type SubmitEvent, useState } from "react";
import { callApi } from "../api/client.ts";
import { Problem } from "../parts/problem.tsx";

const WAYS = {
  actions: {
    label: "What could it do with this?",
    hint: "type:path, in the words of a scope",
    example: "doc:reports/q3",
  },
  resources: {
    label: "On what could it do this?",
    hint: "verb:type; resources are those that its scopes name",
    example: "read:doc",
  },
} as const;
type Way = keyof typeof WAYS;

interface Asked {
  readonly way: Way;
  readonly text: string;
}

/** The actions or resources of an answer, as texts. */
async function search(agentId: string, { way, text }: Asked): Promise<readonly string[]> {
  const subject = { type: "agent", id: agentId };
  const [first = "", ...rest] = text.trim().split(":");
  if (way === "actions") {
    const body = { subject, resource: { type: first, id: rest.join(":") } };
    const { results } = await callApi({
      path: "/access/v1/search/action",
      body,
      answer: actionSearchAnswer,
    });
    return results.map(({ name }) => name);
  }
  const body = { subject, action: { name: first }, resource: { type: rest.join(":") } };
  const { results } = await callApi({ path: "/access/v1/search/resource", body, answer: entitySearchAnswer });
  return results.map(({ type, id }) => `${type}:${id}`);
}

/** @see OpenID AuthZEN Authorization API 1.0 §8 */
export function CouldSearch({ agentId }: { readonly agentId: string }): ReactElement {
  const [way, setWay] = useState<Way>("actions");
  const searching = useMutation({ mutationFn: (asked: Asked) => search(agentId, asked) });
  const { label, hint, example } = WAYS[way];
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const text = new FormData(event.currentTarget).get("what");
    if (typeof text === "string") searching.mutate({ way, text });
  };
  return (
    <form className="panel-body stack" onSubmit={submit} aria-label="Search what it could do">
      <label className="field">
        <span>Search</span>
        <select
          value={way}
          onChange={(event) => setWay(event.target.value === "actions" ? "actions" : "resources")}
        >
          {(["actions", "resources"] as const).map((name) => (
            <option key={name} value={name}>
              {WAYS[name].label}
            </option>
          ))}
        </select>
      </label>
      <label className="field">
        <span>{label}</span>
        <input name="what" key={way} required pattern="[^:]+:.+" placeholder={example} spellCheck={false} />
        <small>{hint}</small>
      </label>
      <div className="row">
        <button type="submit" disabled={searching.isPending}>
          Search
        </button>
      </div>
      {searching.isError ? <Problem error={searching.error} /> : null}
      {searching.data === undefined ? null : <Found texts={searching.data} />}
    </form>
  );
}

function Found({ texts }: { readonly texts: readonly string[] }): ReactElement {
  if (texts.length === 0) {
    return (
      <p role="status" data-found={0}>
        Nothing that is allowed now.
      </p>
    );
  }
  return (
    <ul className="chips" aria-label="Allowed now" data-found={texts.length}>
      {texts.map((text) => (
        <li key={text} className="chip">
          {text}
        </li>
      ))}
    </ul>
  );
}
