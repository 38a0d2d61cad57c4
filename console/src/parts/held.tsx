/** A server that came back by a restore and waits for two admins: said on every screen, and agreed to there. */
import { restoreAnswer } from "@trustwarden/core/api/restore.ts";
import type { ReactElement } from "react";
import { useSession } from "../api/session.tsx";
import { useAct } from "../api/use-act.ts";
import { useApi } from "../api/use-api.ts";
import { formatTime } from "./format.ts";
import { Badge } from "./parts.tsx";
import { Outcome } from "./second-admin.tsx";

/** Nothing at all, unless the server is held. */
export function Held(): ReactElement | null {
  const isAdmin = useSession().roles.includes("admin");
  const found = useApi("/v1/restore", restoreAnswer);
  const releasing = useAct(restoreAnswer, () => void found.refetch());
  const restore = found.data?.restore ?? null;
  if (restore === null || !restore.held) return null;
  return (
    <section className="panel held" aria-label="Restored" data-held={restore.id}>
      <div className="panel-body stack">
        <p role="status">
          <Badge tone="warn">restored</Badge> This server came back by a restore at{" "}
          {formatTime(restore.restored_at)}, made by {restore.restored_by} of the host. It issues and allows
          nothing until two admins agree that this was wanted, by passkeys that are older than the restore.
          {restore.outcome === "void"
            ? " Those passkeys end with it: the operator of the host then gives everybody a new link."
            : ""}
        </p>
        {isAdmin ? (
          <div className="row">
            <button
              type="button"
              className="primary"
              disabled={releasing.isPending}
              onClick={() => releasing.mutate({ path: "/v1/restore/release", body: { restore: restore.id } })}
            >
              It was wanted: let the server work
            </button>
          </div>
        ) : null}
        <Outcome act={releasing} />
      </div>
    </section>
  );
}
