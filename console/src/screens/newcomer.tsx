/** For who is to be an owner and came through an identity provider: an owner is known by its first passkey, and is nobody before. */
import { useQueryClient } from "@tanstack/react-query";
import type { SessionAnswer } from "@trustwarden/core/api/people.ts";
import type { ReactElement } from "react";
import { SESSION_KEY, useSession, useSignOut } from "../api/session.tsx";
import { FirstPasskey } from "./my-passkeys.tsx";
import { Gate } from "./sign-in.tsx";

/** The screen. */
export function Newcomer(): ReactElement {
  const session = useSession();
  const queries = useQueryClient();
  const signOut = useSignOut();
  return (
    <Gate>
      <h1>One more step</h1>
      <p>You are to be an owner, {session.name}: whoever answers for agents does so by a passkey.</p>
      <FirstPasskey
        session={session}
        onAdded={(changed: SessionAnswer) => queries.setQueryData(SESSION_KEY, changed)}
      />
      <button type="button" onClick={signOut}>
        Sign out
      </button>
    </Gate>
  );
}
