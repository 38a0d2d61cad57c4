/** Narrowing of a route's caller to the client of an OAuth endpoint. */
import type { Caller } from "../http/caller.ts";
import type { OAuthCaller } from "./client-authentication.ts";

/** The client; only OAuth routes ask. */
export function clientOf(caller: Caller): OAuthCaller {
  if (!("client" in caller)) throw new Error("only OAuth clients come here");
  return caller;
}
