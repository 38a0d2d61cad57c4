/** Calls of the routes about people, and of the ledger's turn: each with the one event that it must leave. */
import { SoftwareAuthenticator } from "../../test/support/authenticator.ts";
import { type RawAnswer, sendAdmin } from "../../test/support/http.ts";
import {
  challengeFor,
  createLink,
  createPerson,
  originOf,
  sendConsole,
  useLink,
} from "../../test/support/people.ts";
import type { Attempt } from "./registry-attempts.ts";
import type { World } from "./world.ts";

const INVITED = { roles: ["auditor"] };

/** People as they come, log in and log out. @param world - whose server has a console. */
export async function peopleAttempts({ server }: World): Promise<readonly Attempt[]> {
  const { authenticator, cookie } = await createPerson(server);
  const link = await createLink(server, INVITED);
  const device = () => new SoftwareAuthenticator({ origin: originOf(server) });
  const credential = authenticator.get(await challengeFor(server, "log-in"));
  const post = (target: string, body: object, session?: string): Promise<RawAnswer> =>
    sendConsole(server, { method: "POST", target, body: JSON.stringify(body) }, session);
  const invite = (body: object) => () =>
    sendAdmin(server.adminSocket, {
      method: "POST",
      target: "/v1/people/links",
      body: JSON.stringify(body),
    });
  const come = () => useLink(server, { link, authenticator: device() });
  const logIn = () => post("/v1/session", { credential });
  const logOut = () => post("/v1/session/end", {}, cookie);
  const stranger = { person: `prs_${"0".repeat(26)}` };
  return [
    { route: "/v1/people/links", what: "a link", status: 200, kind: "person", ask: invite(INVITED) },
    { route: "/v1/people/links", what: "nobody's link", status: 404, kind: "refuse", ask: invite(stranger) },
    { route: "/v1/people", what: "somebody with a link", status: 200, kind: "person", ask: come },
    { route: "/v1/people", what: "a used link", status: 401, kind: "refuse", ask: come },
    { route: "/v1/session", what: "a passkey", status: 200, kind: "session", ask: logIn },
    { route: "/v1/session", what: "a used challenge", status: 401, kind: "refuse", ask: logIn },
    { route: "/v1/session/end", what: "an end", status: 200, kind: "session", ask: logOut },
    { route: "/v1/session/end", what: "an ended session", status: 401, kind: "refuse", ask: logOut },
  ];
}

/** The turn to the ledger's next shard: what was recorded before is in the old one, and what follows in the next. */
export function turnAttempts({ server }: World): readonly Attempt[] {
  const route = "/v1/ledger/turns";
  const ask = (body: object) => () =>
    sendAdmin(server.adminSocket, { method: "POST", target: route, body: JSON.stringify(body) });
  return [
    { route, what: "a turn", status: 200, kind: "admin", ask: ask({}) },
    { route, what: "a shard that it names", status: 400, kind: "", ask: ask({ shard: "9999q4" }) },
  ];
}
