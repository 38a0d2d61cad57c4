/** Evidence of what one admin asked and a second one confirmed, and logs that lie about it. */
import { randomBytes } from "node:crypto";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { openKeys } from "./authority-keys.ts";
import { readTrust } from "./evidence.ts";
import { type Forgery, type ManifestKey, manifestKeyOf } from "./evidence-forgeries.ts";
import { type Payload, relog } from "./evidence-presented.ts";
import { sendAdmin } from "./http.ts";
import { askConfirmation, CONSOLE, confirm, confirmed, createPerson, type TestPerson } from "./people.ts";
import { eventsOf } from "./refusals.ts";
import { startTestServer } from "./server.ts";

const ROTATION = { method: "POST", target: "/v1/secret-keys/rotation", body: "{}" } as const;

/** A bundle, what an auditor trusts, and who asked and confirmed. */
export interface ConfirmationStory {
  readonly bytes: Buffer;
  readonly vkey: string;
  readonly bundleText: string;
  readonly key: ManifestKey;
  readonly admin: TestPerson;
  readonly second: TestPerson;
  readonly close: () => Promise<void>;
}

/** Two admins turn a key; the second one is known as an owner. */
export async function createConfirmationStory(): Promise<ConfirmationStory> {
  const server = await startTestServer(CONSOLE);
  const admin = await createPerson(server);
  const second = await createPerson(server, { roles: ["admin", "owner"] });
  const id = await askConfirmation(server, admin, ROTATION);
  await confirm(server, second, id);
  const done = await confirmed(server, admin, ROTATION, id);
  if (done.status !== 200) throw new Error(done.text);
  const [used] = await eventsOf(server, "confirmation");
  const target = `/v1/evidence?event=${used?.event_id}`;
  const { bytes } = await sendAdmin(server.adminSocket, { target });
  const { serverSigner } = await openKeys(server.home);
  return {
    bytes,
    ...(await readTrust(server)),
    key: manifestKeyOf(bytes, serverSigner),
    admin,
    second,
    close: async () => {
      await server.close();
      server.home.remove();
    },
  };
}

/** The log as it was, in a tree of the forger's: what comes of that comes of no rewriting. */
export const rewrittenConfirmation = ({ bytes, key, vkey }: ConfirmationStory): Uint8Array =>
  relog(bytes, { key, vkey, change: () => undefined });

/** The log with the same confirmation once more at its end, under a name. */
function again(
  { bytes, key, vkey }: ConfirmationStory,
  options: { id?: string; changes: readonly string[] },
) {
  const { id, changes } = options;
  const more = (controls: readonly Payload[]): readonly Payload[] =>
    controls
      .filter(({ kind, details }) => kind === "confirmation" && changes.includes(Object(details).change))
      .map((payload) => (id === undefined ? payload : { ...payload, subject: id }));
  return relog(bytes, { key, vkey, change: () => undefined, more });
}

/** The log in which the same is asked anew, under a name of its own, and waits. */
export const askedAnew = (story: ConfirmationStory): Uint8Array =>
  again(story, { id: `cnf_${"0".repeat(26)}`, changes: ["ask"] });

/** Each is signed by the server and proven in a tree of its own. */
export function confirmationForgeries(story: ConfirmationStory): readonly Forgery[] {
  const { bytes, key, vkey, admin } = story;
  const other = encodeBase64url(randomBytes(32));
  const forge = (
    name: string,
    changes: readonly string[],
    lie: (payload: Record<string, unknown>, details: Record<string, unknown>) => void,
  ): Forgery => ({
    name,
    bytes: relog(bytes, {
      key,
      vkey,
      change: (_, payload) => {
        const details = Object(payload.details);
        if (payload.kind === "confirmation" && changes.includes(details.change)) lie(payload, details);
      },
    }),
  });
  const all = ["ask", "confirm", "use"];
  return [
    forge("another request", all, (_, details) => Object.assign(details, { digest: other })),
    forge("another request at its use", ["use"], (_, details) => Object.assign(details, { digest: other })),
    forge("another id", all, (payload) => Object.assign(payload, { subject: `cnf_${"0".repeat(26)}` })),
    forge("another who asked", all, (payload, details) => {
      if (details.change !== "confirm") Object.assign(payload, { principal: "operator" });
      Object.assign(details, { asked_by: "operator" });
    }),
    forge("confirmed by who asked", ["confirm", "use"], (payload, details) => {
      Object.assign(payload, { principal: `person:${admin.personId}` });
      Object.assign(details, { answered_by: admin.personId });
    }),
    forge("a signature of nobody", ["confirm"], (_, details) =>
      Object.assign(details, { signature: "MAYCAQECAQE" }),
    ),
    forge("a device that saw nobody", ["confirm"], (_, details) => {
      const data = Buffer.from(String(details.authenticator_data), "base64url");
      data[32] = 1;
      Object.assign(details, { authenticator_data: encodeBase64url(data) });
    }),
    forge("another passkey", ["confirm"], (_, details) => Object.assign(details, { credential_id: "AAAA" })),
    forge("refused and used all the same", ["confirm"], (_, details) =>
      Object.assign(details, { change: "refuse" }),
    ),
    { name: "one word for the same act again", bytes: again(story, { changes: all }) },
  ];
}
