/** Offers: agents that wait to be taken over or claimed, and people who were invited and have not come yet. */
import { Link } from "@tanstack/react-router";
import { type OfferView, offerList } from "@trustwarden/core/api/offers.ts";
import type { ReactElement, ReactNode } from "react";
import { useSession } from "../api/session.tsx";
import { useApi } from "../api/use-api.ts";
import { formatTime } from "../parts/format.ts";
import { Badge, Empty, Id, Panel, Table, Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";

/** The screen. */
export function Offers(): ReactElement {
  const list = useApi("/v1/offers", offerList);
  return (
    <>
      <header className="screen-head">
        <h1>Offers</h1>
        <p>What somebody offered, and nobody has taken yet. Each ends by itself.</p>
      </header>
      <Panel
        title="Waiting"
        aside={
          <button type="button" onClick={() => void list.refetch()}>
            Look again
          </button>
        }
      >
        {list.isPending ? <Waiting what="Reading" /> : null}
        {list.isError ? <Problem error={list.error} retry={() => void list.refetch()} /> : null}
        {list.data?.offers.length === 0 ? (
          <Empty title="Nothing is offered" command="warden agent offer orchestrator --to own_…">
            An agent’s page hands it over to another owner; agents that registered themselves wait for who
            claims them, and people for who was invited.
          </Empty>
        ) : null}
        {list.data === undefined || list.data.offers.length === 0 ? null : (
          <OfferTable offers={list.data.offers} />
        )}
      </Panel>
    </>
  );
}

function OfferTable({ offers }: { readonly offers: readonly OfferView[] }): ReactElement {
  const { owner_id: ownId } = useSession();
  return (
    <Table columns={["What", "Which", "For whom", "Until"]}>
      {offers.map((offer) => (
        <tr key={JSON.stringify(offer)} data-offer={offer.kind}>
          <td>
            <Badge tone={isMine(offer, ownId) ? "warn" : "plain"}>{WORDS[offer.kind]}</Badge>
          </td>
          <td>{whichOf(offer)}</td>
          <td>{isMine(offer, ownId) ? "you" : whomOf(offer)}</td>
          <td>{formatTime(offer.expires_at)}</td>
        </tr>
      ))}
    </Table>
  );
}

const WORDS: Readonly<Record<OfferView["kind"], string>> = {
  transfer: "hand-over",
  claim: "claim",
  invitation: "invitation",
};

function isMine(offer: OfferView, ownId: string | null): boolean {
  if (ownId === null || offer.kind === "invitation") return false;
  return ownId === (offer.kind === "transfer" ? offer.to : offer.owner_id);
}

function whichOf(offer: OfferView): ReactNode {
  switch (offer.kind) {
    case "transfer":
      return (
        <Link to="/agents/$id" params={{ id: offer.agent_id }}>
          {offer.agent_id}
        </Link>
      );
    case "claim":
      return offer.path === "" ? offer.name : `${offer.path}/${offer.name}`;
    case "invitation":
      return offer.roles.length === 0 ? "a new passkey" : offer.roles.join(", ");
  }
}

function whomOf(offer: OfferView): ReactNode {
  switch (offer.kind) {
    case "transfer":
      return <Id text={offer.to} />;
    case "claim":
      return offer.owner_id === null ? "whoever is shown its code" : <Id text={offer.owner_id} />;
    case "invitation":
      return offer.person_id === null ? "whoever opens the link" : <Id text={offer.person_id} />;
  }
}
