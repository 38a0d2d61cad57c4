/** Other trust domains: who is believed beside us, made by two admins and ended by one. */
import {
  type FederationAnswer,
  federationAnswer,
  federationList,
  federationRemoval,
} from "@trustwarden/core/api/federation.ts";
import { type ReactElement, type SubmitEvent, useState } from "react";
import { useSession } from "../api/session.tsx";
import { useAct } from "../api/use-act.ts";
import { useApi } from "../api/use-api.ts";
import { formatTime } from "../parts/format.ts";
import { Badge, Command, Empty, Table, Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { Outcome } from "../parts/second-admin.tsx";

/** How a bundle comes, and what else that needs. */
const WAYS = [
  { profile: "https_web", meaning: "from its endpoint, by the certificates of the web" },
  { profile: "https_spiffe", meaning: "from its endpoint, by its own SPIFFE ID" },
  { profile: "", meaning: "by hand, from a file" },
] as const;

/** The list, and what an admin does to it. */
export function Federations(): ReactElement {
  const federations = useApi("/v1/federations", federationList);
  const isAdmin = useSession().roles.includes("admin");
  const look = () => void federations.refetch();
  if (federations.isError) return <Problem error={federations.error} retry={look} />;
  if (federations.data === undefined) return <Waiting what="Reading" />;
  const list = federations.data.federations;
  return (
    <>
      {list.length === 0 ? (
        <Empty title="Nobody else is believed" command="warden federation create partner.example --help">
          With a relationship, agents of another trust domain can prove themselves here.
        </Empty>
      ) : (
        <Table
          columns={["Trust domain", "How", "Sequence", "Changed", "Last fetch", ...(isAdmin ? ["Do"] : [])]}
        >
          {list.map((one) => (
            <Row key={one.trust_domain} one={one} isAdmin={isAdmin} onDone={look} />
          ))}
        </Table>
      )}
      {isAdmin ? <Federate onDone={look} /> : null}
      <div className="panel-body">
        <Command text="warden federation list" />
      </div>
    </>
  );
}

function Row({
  one,
  isAdmin,
  onDone,
}: {
  readonly one: FederationAnswer;
  readonly isAdmin: boolean;
  readonly onDone: () => void;
}): ReactElement {
  return (
    <tr data-federation={one.trust_domain}>
      <td>{one.trust_domain}</td>
      <td>{one.profile ?? "set by hand"}</td>
      <td>{one.sequence ?? "no bundle yet"}</td>
      <td>{one.changed_at === null ? "" : formatTime(one.changed_at)}</td>
      <td>{one.failure === null ? "good" : <Badge tone="bad">{one.failure}</Badge>}</td>
      {isAdmin ? (
        <td>
          <RowActs one={one} onDone={onDone} />
        </td>
      ) : null}
    </tr>
  );
}

/** Asking its endpoint again takes nobody's word; ending it takes one, as every stop does. */
function RowActs({
  one: { trust_domain: name, profile },
  onDone,
}: {
  readonly one: FederationAnswer;
  readonly onDone: () => void;
}): ReactElement {
  const [isSure, setSure] = useState(false);
  const fetching = useAct(federationAnswer, onDone);
  const ending = useAct(federationRemoval, onDone);
  return (
    <div className="row">
      {profile === null ? null : (
        <button
          type="button"
          disabled={fetching.isPending}
          onClick={() => fetching.mutate({ path: `/v1/federations/${name}/refresh`, body: {} })}
        >
          Fetch now
        </button>
      )}
      <button
        type="button"
        disabled={ending.isPending}
        onClick={() =>
          isSure ? ending.mutate({ path: `/v1/federations/${name}/removal`, body: {} }) : setSure(true)
        }
        onBlur={() => setSure(false)}
      >
        {isSure ? `End ${name}, and its agents here` : "End"}
      </button>
      <Outcome act={fetching} />
      <Outcome act={ending} />
    </div>
  );
}

function Federate({ onDone }: { readonly onDone: () => void }): ReactElement {
  const [profile, setProfile] = useState("https_web");
  const [bundle, setBundle] = useState("");
  const making = useAct(federationAnswer, onDone);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const url = String(form.get("url") ?? "");
    const spiffeId = String(form.get("endpoint") ?? "");
    const endpoint =
      profile === "" ? null : { profile, url, endpoint_spiffe_id: spiffeId === "" ? null : spiffeId };
    const body = { trust_domain: form.get("name"), endpoint, bundle: bundle === "" ? null : bundle };
    making.mutate({ path: "/v1/federations", body });
  };
  return (
    <details className="panel-body">
      <summary>Believe another trust domain</summary>
      <form className="stack" onSubmit={submit} aria-label="Believe another trust domain">
        <p className="muted">It lets every agent that the other side vouches for prove itself here.</p>
        <label className="field">
          <span>Trust domain</span>
          <input name="name" required pattern="[a-z0-9._\-]{1,255}" maxLength={255} autoComplete="off" />
        </label>
        <label className="field">
          <span>Its keys come</span>
          <select value={profile} onChange={(event) => setProfile(event.target.value)}>
            {WAYS.map(({ profile: way, meaning }) => (
              <option key={way} value={way}>
                {meaning}
              </option>
            ))}
          </select>
        </label>
        {profile === "" ? null : (
          <label className="field">
            <span>Bundle endpoint</span>
            <input
              name="url"
              type="url"
              required
              maxLength={2048}
              placeholder="https://partner.example/bundle"
            />
          </label>
        )}
        {profile === "https_spiffe" ? (
          <label className="field">
            <span>SPIFFE ID of the endpoint</span>
            <input name="endpoint" required maxLength={2048} placeholder="spiffe://partner.example/server" />
          </label>
        ) : null}
        {profile === "https_web" ? null : (
          <label className="field">
            <span>Its first bundle</span>
            <input
              type="file"
              required
              accept=".json,application/json"
              onChange={(event) => void readText(event.target.files).then(setBundle)}
            />
            <small>What the other side hands you, by a way that you trust: a SPIFFE bundle, JSON.</small>
          </label>
        )}
        <div className="row">
          <button type="submit" disabled={making.isPending}>
            Believe it
          </button>
        </div>
      </form>
      <Outcome act={making} />
      {making.data === undefined ? null : (
        <p role="status" data-federated={making.data.trust_domain}>
          {making.data.trust_domain} is believed
          {making.data.failure === null ? "." : `, but its bundle did not come: ${making.data.failure}.`}
        </p>
      )}
    </details>
  );
}

async function readText(files: FileList | null): Promise<string> {
  return (await files?.item(0)?.text()) ?? "";
}
