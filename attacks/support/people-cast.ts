/** People of a world whose server has a console, and what their browsers send. */
import { codeOf, type RawAnswer, type RawRequest } from "../../test/support/http.ts";
import { CONSOLE, createPerson, sendConsole, type TestPerson } from "../../test/support/people.ts";
import { expectSame } from "../scenario.ts";
import type { World, WorldSettings } from "./world.ts";

/** A server of its own, with a console. */
export const WITH_CONSOLE: WorldSettings = { configure: () => CONSOLE };

/** Two admins, whom the operator of the host let in. */
export interface Admins {
  readonly admin: TestPerson;
  readonly second: TestPerson;
}

export async function admitAdmins({ server }: World): Promise<Admins> {
  const admin = await createPerson(server);
  return { admin, second: await createPerson(server, { roles: ["admin"] }) };
}

/** `POST` as a page of the console sends it. */
export function posting(target: string, body: object): RawRequest & { readonly target: string } {
  return { method: "POST", target, body: JSON.stringify(body) };
}

/** Sends with the session of a person. */
export function sendAs(world: World, { cookie }: TestPerson, request: RawRequest): Promise<RawAnswer> {
  return sendConsole(world.server, request, cookie);
}

/** @throws Breach unless the answer is this refusal. */
export function expectCode(answer: RawAnswer, wanted: readonly [number, string], claim: string): void {
  const code = answer.status < 400 ? answer.text.slice(0, 80) : codeOf(answer);
  expectSame([answer.status, code], wanted, claim);
}
