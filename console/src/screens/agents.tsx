/** Agents: the tree from owners to agents, for any number of them: lines are fetched as they come into view. */
import { type ReactElement, useDeferredValue, useState } from "react";
import { Panel } from "../parts/parts.tsx";
import { ClaimAgent } from "./claim-agent.tsx";
import { TakeAgent } from "./hand-over.tsx";
import { NewAgent } from "./new-agent.tsx";
import { Tree } from "./tree.tsx";

/** The tree and its search. */
export function Agents(): ReactElement {
  const [text, setText] = useState("");
  const prefix = useDeferredValue(text.trim());
  return (
    <>
      <header className="screen-head">
        <h1>Agents</h1>
        <p>Owners, their agents, and what those agents created.</p>
      </header>
      <Panel
        title={prefix === "" ? "By owner" : "Found"}
        aside={
          <input
            type="search"
            value={text}
            maxLength={256}
            aria-label="Search owners and agents by the beginning of their name"
            placeholder="Name, or path/name"
            className="tree-search"
            onChange={(event) => setText(event.target.value)}
          />
        }
      >
        <Tree key={prefix} prefix={prefix} />
      </Panel>
      <ClaimAgent />
      <NewAgent />
      <TakeAgent />
    </>
  );
}
