/** The owner's answer to what waits: signed by a passkey, over exactly what is shown. */
import { useMutation } from "@tanstack/react-query";
import { formatSpiffeId, parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { type ApprovalView, approvalView, questionOf } from "@trustwarden/core/api/approval.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { draftApproval, MAX_APPROVAL_SECONDS, requireShown } from "@trustwarden/core/approval.ts";
import type { ReactElement } from "react";
import { callApi } from "../api/client.ts";
import { useSession } from "../api/session.tsx";
import { callSigned, signByPasskey } from "../api/sign.ts";
import { Problem } from "../parts/problem.tsx";

/** The two buttons. */
export function ApprovalAnswer({
  approval,
  onAnswered,
}: {
  readonly approval: ApprovalView;
  readonly onAnswered: () => void;
}): ReactElement {
  const session = useSession();
  const answering = useMutation({
    mutationFn: async (answer: "approve" | "deny") => {
      // Whatever the server shows, the signature is to what the parameters commit to.
      requireShown(approval);
      const found = await callApi({ path: "/.well-known/trustwarden", answer: discovery });
      const iat = Math.floor(Date.now() / 1000);
      const said = {
        v: 1,
        aud: formatSpiffeId(parseTrustDomain(found.trust_domain), []),
        answer,
        iat,
        exp: Math.min(approval.expires_at, iat + MAX_APPROVAL_SECONDS),
      } as const;
      const document = { ...said, ...questionOf(approval) };
      const signed = await signByPasskey(session, (keyid) => draftApproval(document, keyid));
      const path = `/v1/approvals/${approval.id}/answer` as const;
      return callSigned({ path, body: { approval: signed }, answer: approvalView });
    },
    onSettled: onAnswered,
  });
  return (
    <div className="stack">
      <span className="row">
        <button type="button" disabled={answering.isPending} onClick={() => answering.mutate("approve")}>
          Approve with your passkey
        </button>
        <button type="button" disabled={answering.isPending} onClick={() => answering.mutate("deny")}>
          Deny
        </button>
      </span>
      {answering.isError ? <Problem error={answering.error} /> : null}
    </div>
  );
}
