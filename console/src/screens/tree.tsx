/** The tree as a list of which only what is in view exists. */

import { Link } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type TreeRow, treeAnswer } from "@trustwarden/core/api/tree.ts";
import { type ReactElement, useCallback, useEffect, useRef, useState } from "react";
import { callApi, pathWith } from "../api/client.ts";
import { formatCount } from "../parts/format.ts";
import { Icon } from "../parts/icons.tsx";
import { Badge, Empty, StatusBadge, Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { type Branch, flatten, type Line, withPage } from "./tree-lines.ts";

const ROW_HEIGHT = 34;
const INDENT = 20;
const PAGE = 100;

interface TreeState {
  readonly branches: ReadonlyMap<string, Branch>;
  readonly error: unknown;
  readonly load: (under: string) => void;
  readonly toggle: (row: TreeRow) => void;
}

/** Which lines are known, and which are open; each page is asked for once. */
function useTree(prefix: string, root: string): TreeState {
  const [branches, setBranches] = useState<ReadonlyMap<string, Branch>>(new Map());
  const [error, setError] = useState<unknown>(null);
  const asked = useRef(new Set<string>());
  const known = useRef(branches);
  known.current = branches;
  const load = useCallback(
    (under: string) => {
      const isSearch = under === "" && prefix !== "";
      const place = under === "" ? root : under;
      const path = pathWith("/v1/tree", {
        under: isSearch ? undefined : place,
        prefix: isSearch ? prefix : undefined,
        cursor: known.current.get(under)?.next ?? undefined,
        limit: PAGE,
      });
      if (asked.current.has(path)) return;
      asked.current.add(path);
      callApi({ path, answer: treeAnswer }).then(
        (page) => setBranches((before) => withPage(before, under, page)),
        setError,
      );
    },
    [prefix, root],
  );
  useEffect(() => load(""), [load]);
  const toggle = ({ id }: TreeRow) => {
    const branch = known.current.get(id);
    if (branch === undefined) load(id);
    else setBranches(new Map(known.current).set(id, { ...branch, isOpen: !branch.isOpen }));
  };
  return { branches, error, load, toggle };
}

/** @param root - an owner or agent id to begin below; all owners unless given. */
export function Tree({
  prefix,
  root = "",
}: {
  readonly prefix: string;
  readonly root?: string;
}): ReactElement {
  const { branches, error, load, toggle } = useTree(prefix, root);
  const box = useRef<HTMLDivElement>(null);
  const lines = flatten(branches);
  const rows = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 12,
  });
  const shown = rows.getVirtualItems();
  const wanted = shown.map(({ index }) => lines[index]).find((line) => line?.kind === "more");
  useEffect(() => {
    if (wanted?.kind === "more") load(wanted.under);
  }, [wanted, load]);
  if (error !== null && !branches.has("")) return <Problem error={error} />;
  if (!branches.has("")) return <Waiting what="Reading the tree" />;
  if (lines.length === 0) return <NoAgents prefix={prefix} root={root} />;
  return (
    <>
      {error === null ? null : <Problem error={error} />}
      <div className="tree" ref={box} data-lines={lines.length}>
        <ul className="tree-body" style={{ height: rows.getTotalSize() }}>
          {shown.map(({ index, start, key }) => {
            const line = lines[index];
            return line === undefined ? null : <TreeLine key={key} line={line} top={start} toggle={toggle} />;
          })}
        </ul>
      </div>
    </>
  );
}

/** As an agent's program writes it. */
const CHILD = 'AgentIdentity.create({ name: "helper", parent: agent, scope: ["read:doc"] })';

function NoAgents({ prefix, root }: { readonly prefix: string; readonly root: string }): ReactElement {
  if (prefix !== "") {
    return (
      <Empty title={`Nothing begins with “${prefix}”`} command="warden agent list">
        Names of owners, and names or paths of agents, are searched by their beginning.
      </Empty>
    );
  }
  if (root.startsWith("agt_")) {
    return (
      <Empty title="It has created nobody" command={CHILD}>
        An agent whose ticket allows it creates others, with less than it may do itself.
      </Empty>
    );
  }
  if (root !== "") {
    return (
      <Empty title="No agent yet" command="warden agent ticket --help">
        A ticket lets one agent of this owner enrol, with a scope and a lifetime.
      </Empty>
    );
  }
  return (
    <Empty title="No owner yet" command="warden owner create alice">
      Every agent answers to a human. Create an owner, then give its first agent a ticket.
    </Empty>
  );
}

function TreeLine({
  line,
  top,
  toggle,
}: {
  readonly line: Line;
  readonly top: number;
  readonly toggle: (row: TreeRow) => void;
}): ReactElement {
  const style = { transform: `translateY(${top}px)`, paddingLeft: 10 + line.level * INDENT };
  if (line.kind === "more") {
    return (
      <li className="tree-row" style={style}>
        <span className="muted">Reading more</span>
      </li>
    );
  }
  const { row, isOpen } = line;
  return (
    <li className="tree-row" style={style} data-id={row.id}>
      <Twist row={row} isOpen={isOpen} toggle={toggle} />
      <NodeLink row={row} />
      <span className="muted">{row.kind === "owner" ? "" : row.path}</span>
      <span className="end">
        {row.below === 0 ? null : `${formatCount(row.below)}${row.is_more ? "+" : ""} below`}
        {row.kind === "owner" && row.status === "live" ? (
          <Badge tone="plain">owner</Badge>
        ) : (
          <StatusBadge status={row.status} />
        )}
      </span>
    </li>
  );
}

function Twist({
  row,
  isOpen,
  toggle,
}: {
  readonly row: TreeRow;
  readonly isOpen: boolean;
  readonly toggle: (row: TreeRow) => void;
}): ReactElement {
  if (row.below === 0) return <span className="twist-none" />;
  return (
    <button
      type="button"
      className="twist"
      aria-expanded={isOpen}
      aria-label={`What is below ${row.name}`}
      onClick={() => toggle(row)}
    >
      <Icon name="chevron" />
    </button>
  );
}

function NodeLink({ row }: { readonly row: TreeRow }): ReactElement {
  return row.kind === "owner" ? (
    <Link to="/owners/$id" params={{ id: row.id }}>
      {row.name}
    </Link>
  ) : (
    <Link to="/agents/$id" params={{ id: row.id }}>
      {row.name}
    </Link>
  );
}
