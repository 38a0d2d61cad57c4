/** Streams of security events that receivers make and poll, on a real server; the tokens are verified with another library than ours. */
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createOwner, enrolAgent, enrolVerifier, spawn, type TestInstance } from "./support/actors.ts";
import { codeOf, jsonOf, type RawAnswer, send, sendAdmin } from "./support/http.ts";
import { eventsOf, payloadsOf } from "./support/refusals.ts";
import { createHome, startTestServer, type TestHome, type TestServer } from "./support/server.ts";

const CAEP = "https://schemas.openid.net/secevent/caep/event-type";
const VERIFICATION = "https://schemas.openid.net/secevent/ssf/event-type/verification";
const POLL = "urn:ietf:rfc:8936";

let home: TestHome;
let server: TestServer;
let receiver: TestInstance;
beforeEach(async () => {
  home = createHome();
  server = await startTestServer({}, home);
  receiver = await enrolVerifier(server, "mail");
});
afterEach(async () => {
  await server.close();
  home.remove();
});

function ask(
  method: string,
  target: string,
  { body, as = receiver }: { readonly body?: object; readonly as?: TestInstance } = {},
): Promise<RawAnswer> {
  return send(
    server.url,
    { method, target, ...(body === undefined ? {} : { body: JSON.stringify(body) }) },
    as.tls,
  );
}

async function createStream(body: object = {}): Promise<string> {
  const answer = await ask("POST", "/ssf/stream", { body });
  expect(answer.status).toBe(201);
  return String(jsonOf(answer).stream_id);
}

interface Polled {
  readonly jtis: readonly string[];
  readonly events: readonly unknown[];
  readonly subjects: readonly unknown[];
  readonly moreAvailable: boolean;
}

/** What a receiver does with an answer: key, signature, issuer, audience, type, and the name that it came under. */
async function poll(streamId: string, body: object = { returnImmediately: true }): Promise<Polled> {
  const answer = await ask("POST", `/ssf/streams/${streamId}/poll`, { body });
  expect([answer.status, answer.text]).toEqual([200, answer.text]);
  const { sets, moreAvailable }: { sets: Record<string, string>; moreAvailable: boolean } = JSON.parse(
    answer.text,
  );
  const keys: JSONWebKeySet = JSON.parse((await send(server.url, { target: "/ssf/jwks" })).text);
  const verified = await Promise.all(
    Object.entries(sets).map(async ([jti, token]) => {
      const { payload } = await jwtVerify(token, createLocalJWKSet(keys), {
        issuer: "https://acme.test",
        audience: "spiffe://acme.test/trustwarden/verifier/mail",
        typ: "secevent+jwt",
        algorithms: ["ES256"],
      });
      expect(payload.jti).toBe(jti);
      return payload;
    }),
  );
  return {
    jtis: verified.map(({ jti = "" }) => jti),
    events: verified.map(({ events }) => events),
    subjects: verified.map(({ sub_id }) => sub_id),
    moreAvailable,
  };
}

async function stop(target: object): Promise<void> {
  const body = JSON.stringify({ target, reason: "Carol saw something odd" });
  const answer = await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
  expect(answer.status).toBe(200);
}

const IN_A_HURRY = { returnImmediately: true };
const eventually = <T>(read: () => Promise<T>) => expect.poll(read, { timeout: 25_000 });

describe("a stream that is polled", () => {
  it("brings a stop as CAEP events until the receiver takes them, and tells nothing of before", async () => {
    const owner = await createOwner(server);
    const before = await enrolAgent(server, owner, { name: "before" });
    await stop({ kind: "agent", id: before.answer.agent_id });
    const agent = await enrolAgent(server, owner, { name: "after" });
    const child = await spawn(server, agent);
    const streamId = await createStream();
    await stop({ kind: "instance", id: child.answer.instance_id });
    await eventually(async () => (await poll(streamId)).events.length).toBe(2);
    const first = await poll(streamId);
    expect(first.subjects[0]).toEqual({
      format: "iss_sub",
      iss: "https://acme.test",
      sub: child.answer.spiffe_id,
    });
    expect(first.events.map((event) => Object.keys(Object(event)))).toEqual([
      [`${CAEP}/session-revoked`],
      [`${CAEP}/credential-change`],
    ]);
    expect(JSON.stringify(first.events)).not.toContain("Carol");
    expect((await poll(streamId)).jtis).toEqual(first.jtis);
    // One is taken, one is not understood; neither comes again.
    const [taken = "", odd = ""] = first.jtis;
    const next = await poll(streamId, {
      ...IN_A_HURRY,
      ack: [taken],
      setErrs: { [odd]: { err: "invalid_request", description: "no such event here" } },
    });
    expect(next.jtis).toEqual([]);
    expect(next.moreAvailable).toBe(false);
  });

  it("waits for the next event, and brings no more at a time than was asked for", async () => {
    const owner = await createOwner(server);
    const agent = await enrolAgent(server, owner);
    const streamId = await createStream();
    const waiting = poll(streamId, { maxEvents: 1 });
    await stop({ kind: "instance", id: agent.answer.instance_id });
    const first = await waiting;
    expect(first.events.length).toBe(1);
    expect(first.moreAvailable).toBe(true);
    const second = await poll(streamId, { maxEvents: 1, ack: first.jtis });
    expect(second.jtis).not.toEqual(first.jtis);
    const nothing = await poll(streamId, { maxEvents: 0, ack: second.jtis });
    expect(nothing).toMatchObject({ jtis: [], moreAvailable: false });
  });

  it("goes on after a restart where it was, with what it was told", async () => {
    const owner = await createOwner(server);
    const agent = await enrolAgent(server, owner);
    const child = await spawn(server, agent);
    const streamId = await createStream({
      description: "mail of acme",
      events_requested: [`${CAEP}/session-revoked`],
    });
    await stop({ kind: "instance", id: child.answer.instance_id });
    await eventually(async () => (await poll(streamId)).jtis.length).toBe(1);
    const { jtis } = await poll(streamId);
    await poll(streamId, { ...IN_A_HURRY, ack: jtis });
    await stop({ kind: "instance", id: agent.answer.instance_id });
    await eventually(async () => (await poll(streamId)).jtis.length).toBe(1);
    const untaken = await poll(streamId);
    await server.close();
    server = await startTestServer({}, home);
    expect((await poll(streamId)).jtis).toEqual(untaken.jtis);
    // What was brought before the restart may be taken after it, with the first request.
    expect((await poll(streamId, { ...IN_A_HURRY, ack: untaken.jtis })).jtis).toEqual([]);
    expect(jsonOf(await ask("GET", `/ssf/stream?stream_id=${streamId}`))).toMatchObject({
      description: "mail of acme",
      events_delivered: [`${CAEP}/session-revoked`],
    });
  });

  it("is verified by the receiver's own word, once in half a minute", async () => {
    const streamId = await createStream();
    const body = { stream_id: streamId, state: "VGhpcyBpcyBhbiBleGFtcGxl" };
    expect((await ask("POST", "/ssf/verification", { body })).status).toBe(204);
    const { events, subjects, jtis } = await poll(streamId);
    expect(events).toEqual([{ [VERIFICATION]: { state: body.state } }]);
    expect(subjects).toEqual([{ format: "opaque", id: streamId }]);
    const again = await ask("POST", "/ssf/verification", { body });
    expect([again.status, codeOf(again)]).toEqual([429, "rate_limited"]);
    expect((await poll(streamId, { ...IN_A_HURRY, ack: jtis })).jtis).toEqual([]);
  });
});

describe("a stream from which nobody takes", () => {
  const UPDATED = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";
  const GIVEN_UP = "given up: nothing was taken for 14 days";

  it("is given up after two weeks, gives its place back, and says so to its receiver", async () => {
    const streamId = await createStream();
    for (let made = 1; made < 4; made += 1) await createStream();
    const status = () => ask("GET", `/ssf/status?stream_id=${streamId}`);
    const [taken = ""] = JSON.parse((await ask("GET", "/ssf/stream")).text).map(
      (stream: { stream_id: string }) => stream.stream_id,
    );
    expect(taken).toBe(streamId);
    await server.close();
    const later = (days: number) => ({
      nowMs: () => Date.now() + days * 86_400_000,
      monoMs: () => performance.now(),
    });
    server = await startTestServer({}, home, later(13.9));
    receiver = await enrolVerifier(server, "mail");
    expect(jsonOf(await status())).toEqual({ stream_id: streamId, status: "enabled" });
    // The others are asked for their events, and go on.
    const others = JSON.parse((await ask("GET", "/ssf/stream")).text).slice(1);
    for (const { stream_id } of others) await poll(stream_id);
    await server.close();
    server = await startTestServer({}, home, later(15));
    receiver = await enrolVerifier(server, "mail");
    await eventually(async () => jsonOf(await status())).toEqual({
      stream_id: streamId,
      status: "disabled",
      reason: GIVEN_UP,
    });
    const { events, subjects, jtis } = await poll(streamId);
    expect(events).toEqual([{ [UPDATED]: { status: "disabled", reason: GIVEN_UP } }]);
    expect(subjects).toEqual([{ format: "opaque", id: streamId }]);
    expect((await poll(streamId, { ...IN_A_HURRY, ack: jtis })).events).toEqual([]);
    const recorded = await Promise.all(
      (await eventsOf(server, "admin")).map(async (event) => (await payloadsOf(server, event))[0]),
    );
    expect(recorded.filter((record) => String(record?.principal).includes("/trustwarden/server/"))).toEqual([
      expect.objectContaining({
        subject: "spiffe://acme.test/trustwarden/verifier/mail",
        details: { act: "ssf stream", change: "given up", stream_id: streamId },
      }),
    ]);
    // Its place is another's now, and it comes back only where there is one.
    const enable = () => ask("POST", "/ssf/status", { body: { stream_id: streamId, status: "enabled" } });
    const another = await createStream();
    const refused = await enable();
    expect([refused.status, codeOf(refused)]).toEqual([409, "ssf_limit_reached"]);
    expect((await ask("DELETE", `/ssf/stream?stream_id=${another}`)).status).toBe(204);
    expect(jsonOf(await enable())).toEqual({ stream_id: streamId, status: "enabled" });
    expect((await poll(streamId)).events).toEqual([]);
  });

  it("cannot be made to look like one by its receiver", async () => {
    const stream_id = await createStream();
    const answer = await ask("POST", "/ssf/status", {
      body: { stream_id, status: "disabled", reason: GIVEN_UP },
    });
    expect([answer.status, codeOf(answer)]).toEqual([400, "request_malformed"]);
  });
});

describe("the management of streams", () => {
  it("is found in the metadata, with every address that answers", async () => {
    const metadata = jsonOf(await send(server.url, { target: "/.well-known/ssf-configuration" }));
    expect(metadata).toMatchObject({
      spec_version: "1_0",
      issuer: "https://acme.test",
      delivery_methods_supported: [POLL, "urn:ietf:rfc:8935"],
      authorization_schemes: [{ spec_urn: "urn:ietf:rfc:8705" }],
      default_subjects: "ALL",
    });
    const made = jsonOf(
      await send(
        String(metadata.configuration_endpoint),
        { method: "POST", target: "/ssf/stream", body: "{}" },
        receiver.tls,
      ),
    );
    expect(made).toMatchObject({
      iss: "https://acme.test",
      aud: "spiffe://acme.test/trustwarden/verifier/mail",
      delivery: { method: POLL },
      min_verification_interval: 30,
      inactivity_timeout: 1_209_600,
    });
  });

  it("changes, replaces, reads and takes away a stream", async () => {
    const streamId = await createStream({
      description: "one",
      events_requested: ["urn:unknown", `${CAEP}/session-revoked`],
    });
    const named = { stream_id: streamId };
    const patched = await ask("PATCH", "/ssf/stream", { body: { ...named, description: "two" } });
    expect(jsonOf(patched)).toMatchObject({
      description: "two",
      events_requested: ["urn:unknown", `${CAEP}/session-revoked`],
      events_delivered: [`${CAEP}/session-revoked`],
    });
    const replaced = jsonOf(await ask("PUT", "/ssf/stream", { body: named }));
    expect(replaced.description).toBeUndefined();
    expect(replaced.events_delivered).toEqual(replaced.events_supported);
    expect(JSON.parse((await ask("GET", "/ssf/stream")).text)).toEqual([replaced]);
    expect((await ask("DELETE", `/ssf/stream?stream_id=${streamId}`)).status).toBe(204);
    const gone = await ask("GET", `/ssf/stream?stream_id=${streamId}`);
    expect([gone.status, codeOf(gone)]).toEqual([404, "not_found"]);
    expect(readdirSync(join(home.dataDir, "ssf"))).toEqual([]);
  });

  it("keeps events of a paused stream for later, and tells nothing of what happened while it was disabled", async () => {
    const owner = await createOwner(server);
    const names = ["one", "two", "three"];
    const agents = await Promise.all(names.map((name) => enrolAgent(server, owner, { name })));
    const [one, two, three] = agents.map(({ answer }) => answer.agent_id);
    const streamId = await createStream();
    const set = (status: string) =>
      ask("POST", "/ssf/status", { body: { stream_id: streamId, status, reason: "maintenance" } });
    expect(jsonOf(await set("paused"))).toEqual({
      stream_id: streamId,
      status: "paused",
      reason: "maintenance",
    });
    await stop({ kind: "agent", id: one });
    expect((await poll(streamId)).jtis).toEqual([]);
    await set("enabled");
    await eventually(async () => (await poll(streamId)).subjects).toEqual([{ format: "opaque", id: one }]);
    await set("disabled");
    expect(jsonOf(await ask("GET", `/ssf/status?stream_id=${streamId}`)).status).toBe("disabled");
    await stop({ kind: "agent", id: two });
    await set("enabled");
    await stop({ kind: "agent", id: three });
    await eventually(async () => (await poll(streamId)).subjects).toEqual([{ format: "opaque", id: three }]);
  });

  it("tells about a subject no more, and again", async () => {
    const owner = await createOwner(server);
    const agent = await enrolAgent(server, owner);
    const [one, two] = [
      await spawn(server, agent, { name: "one" }),
      await spawn(server, agent, { name: "two" }),
    ];
    const subjectOf = ({ answer }: TestInstance) => ({
      format: "iss_sub",
      iss: "https://acme.test",
      sub: answer.spiffe_id,
    });
    const streamId = await createStream({ events_requested: [`${CAEP}/session-revoked`] });
    const about = (instance: TestInstance) => ({
      body: { stream_id: streamId, subject: subjectOf(instance) },
    });
    expect((await ask("POST", "/ssf/subjects/removed", about(one))).status).toBe(204);
    expect((await ask("POST", "/ssf/subjects/removed", about(two))).status).toBe(204);
    expect((await ask("POST", "/ssf/subjects/added", about(two))).status).toBe(200);
    await stop({ kind: "instance", id: one.answer.instance_id });
    await stop({ kind: "instance", id: two.answer.instance_id });
    await eventually(async () => (await poll(streamId)).subjects).toEqual([subjectOf(two)]);
  });

  it("refuses push, other receivers, agents, strangers and more than there may be", async () => {
    const push = { method: "urn:ietf:rfc:8935", endpoint_url: "https://169.254.169.254/latest" };
    const pushed = await ask("POST", "/ssf/stream", { body: { delivery: push } });
    expect([pushed.status, codeOf(pushed)]).toEqual([400, "ssf_delivery_refused"]);
    const streamId = await createStream();
    const other = await enrolVerifier(server, "calendar");
    const named = { stream_id: streamId };
    const subject = { format: "opaque", id: "x" };
    const asOther = { as: other };
    for (const [method, target, body] of [
      ["GET", `/ssf/stream?stream_id=${streamId}`, undefined],
      ["PATCH", "/ssf/stream", named],
      ["PUT", "/ssf/stream", named],
      ["DELETE", `/ssf/stream?stream_id=${streamId}`, undefined],
      ["GET", `/ssf/status?stream_id=${streamId}`, undefined],
      ["POST", "/ssf/status", { ...named, status: "disabled" }],
      ["POST", "/ssf/subjects/added", { ...named, subject }],
      ["POST", "/ssf/subjects/removed", { ...named, subject }],
      ["POST", "/ssf/verification", named],
      ["POST", `/ssf/streams/${streamId}/poll`, IN_A_HURRY],
    ] as const) {
      const answer = await ask(method, target, { ...asOther, ...(body === undefined ? {} : { body }) });
      expect([method, target, answer.status, codeOf(answer)]).toEqual([method, target, 404, "not_found"]);
      const nobody = await send(server.url, { method, target, ...(body && { body: JSON.stringify(body) }) });
      expect([method, target, nobody.status]).toEqual([method, target, 401]);
    }
    expect(JSON.parse((await ask("GET", "/ssf/stream", asOther)).text)).toEqual([]);
    const long = { format: "opaque", id: "x".repeat(1024) };
    const tooLong = await ask("POST", "/ssf/subjects/removed", { body: { ...named, subject: long } });
    expect([tooLong.status, codeOf(tooLong)]).toEqual([400, "request_malformed"]);
    for (let made = 1; made < 4; made += 1) await createStream();
    const changes = async () =>
      (await sendAdmin(server.adminSocket, { target: "/v1/events?kind=admin" })).text.match(/"event_id"/g);
    const before = await changes();
    const fifth = await ask("POST", "/ssf/stream", { body: {} });
    expect([fifth.status, codeOf(fifth)]).toEqual([409, "ssf_limit_reached"]);
    // What was not made is not recorded as made.
    expect(before).toHaveLength(4);
    expect(await changes()).toEqual(before);
  });

  it("leaves other methods where no row has them refused as before", async () => {
    const answer = await ask("DELETE", "/v1/nonce");
    expect([answer.status, codeOf(answer)]).toEqual([405, "method_not_allowed"]);
    const bodied = await ask("DELETE", "/ssf/stream?stream_id=x", { body: {} });
    expect([bodied.status, codeOf(bodied)]).toEqual([400, "request_malformed"]);
  });

  it("does not start on a stream's file that is none", async () => {
    const streamId = await createStream();
    await server.close();
    const file = join(home.dataDir, "ssf", `${streamId}.json`);
    writeFileSync(file, "{}");
    await expect(startTestServer({}, home)).rejects.toMatchObject({ code: "config_invalid" });
    writeFileSync(file, "");
    await expect(startTestServer({}, home)).rejects.toMatchObject({ code: "config_invalid" });
    rmSync(file);
    server = await startTestServer({}, home);
  });
});
