/** What is taken for a NATS that carries notices. */
import { expect, test } from "vitest";
import { natsSettings, requireProtectedNats } from "./config.ts";

const LOCAL = { kind: "nats", servers: ["127.0.0.1:4222"] };

test("a password goes with a user, and not beside credentials", () => {
  expect(natsSettings.parse(LOCAL).subject).toBe("trustwarden");
  for (const change of [
    { user: "warden" },
    { passwordFile: "/p" },
    { user: "warden", passwordFile: "/p", credentialsFile: "/c" },
    { tls: { caFile: "/ca", certFile: "/cert" } },
    { subject: "all.>" },
    { servers: [] },
    { servers: ["nats://user:secret@nats:4222"] },
  ])
    expect([change, natsSettings.safeParse({ ...LOCAL, ...change }).success]).toEqual([change, false]);
  for (const change of [
    { user: "warden", passwordFile: "/p" },
    { credentialsFile: "/c" },
    { tls: { caFile: "/ca" }, subject: "trustwarden.acme" },
    { servers: ["[::1]:4222", "nats-2.acme.test:4222"] },
  ])
    expect(natsSettings.safeParse({ ...LOCAL, ...change }).success).toBe(true);
});

test("beyond this machine it goes over TLS", () => {
  const beyond = { servers: ["127.0.0.1:4222", "nats.acme.test:4222"] };
  expect(() => requireProtectedNats({ ...beyond, tls: undefined })).toThrow("config_invalid");
  requireProtectedNats({ ...beyond, tls: { caFile: "/ca" } });
  requireProtectedNats({ servers: ["[::1]:4222", "localhost:4222"], tls: undefined });
});
