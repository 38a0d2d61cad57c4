/** What an instance may do: its own scope, what every ancestor lets through of it, and who does not. */
import type { AgentView } from "@trustwarden/core/api/ledger.ts";
import { isSubset, parseScope } from "@trustwarden/core/scope.ts";
import type { ReactElement } from "react";
import { Empty } from "../parts/parts.tsx";

type Instance = AgentView["instances"][number];

/** The atoms, with a reason for each that an ancestor holds back. */
export function ScopeOf({
  instance,
  line,
}: {
  readonly instance: Instance | undefined;
  readonly line: readonly AgentView[];
}): ReactElement {
  if (instance === undefined) {
    return (
      <Empty title="No instance, no scope" command="warden agent ticket --help">
        What it may do comes with the ticket or grant of an instance.
      </Empty>
    );
  }
  const effective = new Set(instance.effective_scope);
  const held = instance.scope.filter((atom) => !effective.has(atom));
  return (
    <div className="panel-body stack">
      <div className="chips">
        {instance.scope.map((atom) => (
          <span key={atom} className={effective.has(atom) ? "chip" : "chip chip-gone"}>
            {atom}
          </span>
        ))}
      </div>
      {held.length === 0 ? (
        <p className="muted">
          All of it counts: everyone from the owner down to this instance covers each part. A policy may still
          say no to a single action.
        </p>
      ) : (
        <ul className="stack">
          {held.map((atom) => (
            <li key={atom}>
              <code>{atom}</code> does not count: {whoHolds(atom, { instance, line })}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** The first ancestor from the top that does not cover an atom; by the same algebra as the server's. */
function whoHolds(
  atom: string,
  { instance, line }: { readonly instance: Instance; readonly line: readonly AgentView[] },
): string {
  const ancestors = line.slice(0, -1).map(({ name, instances }) => ({
    name,
    scope: instances.find(({ instance_id: id }) => isAbove(id, instance, line))?.scope ?? [],
  }));
  const holder = ancestors.find(
    ({ scope }) => !isSubset({ parent: parseScope(scope), child: parseScope([atom]) }),
  );
  return holder === undefined ? "an ancestor does not cover it" : `${holder.name} may not do it`;
}

function isAbove(id: string, instance: Instance, line: readonly AgentView[]): boolean {
  const all = new Map(line.flatMap(({ instances }) => instances).map((one) => [one.instance_id, one]));
  let next = instance.parent_instance_id;
  for (let steps = 0; next !== null && steps < line.length; steps += 1) {
    if (next === id) return true;
    next = all.get(next)?.parent_instance_id ?? null;
  }
  return false;
}
