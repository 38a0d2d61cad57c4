/** The session: whose it is, and the door for whoever has none. */

import { type QueryClient, useQuery, useQueryClient } from "@tanstack/react-query";
import { type SessionAnswer, sessionAnswer } from "@trustwarden/core/api/people.ts";
import { createContext, type ReactElement, type ReactNode, useContext } from "react";
import { Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { SignIn } from "../screens/sign-in.tsx";
import { ApiError, callApi } from "./client.ts";
import { signOut } from "./passkey.ts";

/** The question who is logged in, for whoever has a reason to ask again. */
export const SESSION_KEY = ["session"];
const SessionContext = createContext<SessionAnswer | null>(null);

/** The session of whoever sees this. */
export function useSession(): SessionAnswer {
  const session = useContext(SessionContext);
  if (session === null) throw new Error("only shown to people with a session");
  return session;
}

/** Shows what is behind the door to people with a session, and the door to others. */
export function SessionGate({ children }: { readonly children: ReactNode }): ReactElement {
  const session = useQuery({
    queryKey: SESSION_KEY,
    queryFn: ({ signal }) => callApi({ path: "/v1/session", answer: sessionAnswer, signal }),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const queries = useQueryClient();
  const isOver = session.error instanceof ApiError && session.error.status === 401;
  // A server that does not answer for a moment ends no session.
  if (session.data !== undefined && !isOver)
    return <SessionContext value={session.data}>{children}</SessionContext>;
  if (session.isPending) return <Waiting what="Looking for your session" />;
  if (isOver) {
    return <SignIn onOpened={(opened) => queries.setQueryData(SESSION_KEY, opened)} />;
  }
  return <Problem error={session.error} retry={() => void session.refetch()} />;
}

/**
 * Ends the session here and on the server, and forgets what was shown. Who came through an identity provider goes there next: its
 * session would open the next one here unasked.
 */
export function useSignOut(): () => void {
  const queries = useQueryClient();
  return () =>
    void signOut().then(
      ({ elsewhere }) => leave(queries, elsewhere),
      () => leave(queries, null),
    );
}

function leave(queries: QueryClient, elsewhere: string | null): void {
  queries.clear();
  const isPage = elsewhere !== null && /^https?:$/.test(new URL(elsewhere).protocol);
  window.location.assign(isPage ? elsewhere : "/app");
}
