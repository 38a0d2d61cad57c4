/**
 * The secrets broker while the server runs: puts secrets on requests at the last moment, finds them in what comes
 * back, ends calls whose secret is taken away, and watches for canaries.
 *
 * Every use asks the store anew, so a change counts from its commit on. What may not be used leaves a `secret` event;
 * what is found where it may not be leaves an `alarm`.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type AgentPrincipal, formatChain } from "@trustwarden/core/principal.ts";
import type { SecretChange, SecretState } from "../store/broker-ports.ts";
import { SecretAdministration } from "./administration.ts";
import type { BrokerDeps } from "./deps.ts";
import { Automaton } from "./echo/automaton.ts";
import { createCanaryWatch } from "./echo/canaries.ts";
import { formsOf } from "./echo/forms.ts";
import { createRedactor } from "./echo/redactor.ts";
import { injectSecret } from "./injection.ts";
import { type Login, LoginTokens, unrenewed } from "./oauth/login-tokens.ts";
import { formatLoginValue, parseLoginValue } from "./oauth/login-value.ts";
import { parseTokenSource, type TokenSource } from "./oauth/token-source.ts";
import { type FetchedToken, UpstreamTokens } from "./oauth/tokens.ts";
import { type OpenedSecret, OpenedSecrets, openValues } from "./opened.ts";
import type { Broker, CanaryFinding, CanaryWatch, EchoRedactor, Injection, SecretUse } from "./ports.ts";
import { goesTo, isNamed, readSettings, type SecretSettings } from "./settings.ts";

/** How often replaced versions are looked for whose grace is over. */
const EXPIRE_EVERY_MS = 30_000;

interface Usable {
  readonly state: SecretState;
  readonly settings: SecretSettings;
}

/** Owns what is open, the calls under way, and the watch. */
export class SecretsBroker implements Broker {
  readonly administration: SecretAdministration;
  readonly #deps: BrokerDeps;
  readonly #opened: OpenedSecrets;
  readonly #tokens: UpstreamTokens;
  readonly #logins: LoginTokens;
  /** What finds a token lives as long as the token is kept. */
  readonly #openedTokens = new WeakMap<FetchedToken, OpenedSecret>();
  /** Of the calls under way, by secret. */
  readonly #live = new Map<string, Set<AbortController>>();
  /** Parsed once for each state that the store remembers. */
  readonly #settings = new WeakMap<SecretState, SecretSettings>();
  /** Null while the canaries cannot be opened: then nothing goes through. */
  #watch: CanaryWatch | null = null;
  /** Loads one after the other: the last one to begin knows of every change before it. */
  #loading: Promise<void> = Promise.resolve();
  /** As they were when what others changed was looked for last. */
  #seen: ReadonlyMap<string, SecretState> = new Map();
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: BrokerDeps) {
    this.#deps = deps;
    this.#opened = new OpenedSecrets(deps);
    this.#tokens = new UpstreamTokens(deps);
    this.#logins = new LoginTokens(deps.monoMs);
    this.administration = new SecretAdministration(deps, (secret, change) => this.#follow(secret, change));
  }

  /** Loads the canaries, and begins to destroy versions whose time is over. */
  async start(): Promise<void> {
    await this.#deps.shared?.followKeys();
    this.#seen = this.#states();
    await this.#loadCanaries();
    this.#timer = setInterval(() => void this.#expire(), EXPIRE_EVERY_MS).unref();
  }

  /** Other servers have changed secrets: what is open, fetched or under way with one of them is over where it has to be. */
  follow(): void {
    const before = this.#seen;
    this.#seen = this.#states();
    // What this server changed itself is among it, and is followed once more.
    const changed = [...new Map([...before, ...this.#seen]).values()].filter(({ secretId }) => {
      const [was, now] = [before.get(secretId), this.#seen.get(secretId)];
      // Disabling is no revision: nothing was sealed.
      return was?.revision !== now?.revision || was?.isDisabled !== now?.isDisabled;
    });
    for (const { secretId } of changed) {
      this.#forget(secretId);
      if (this.#seen.get(secretId)?.isDisabled !== false) this.#cut(secretId);
    }
    // Nothing is planned before it is done, and a call on its way has begun before it.
    if (changed.some(({ kind }) => kind === "canary")) this.#loadCanaries().catch(() => undefined);
  }

  /** Returns when the watch knows what was followed. */
  followed(): Promise<void> {
    return this.#loading;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#opened.close();
    for (const secretId of this.#live.keys()) this.#cut(secretId);
  }

  requireUsable(use: Pick<SecretUse, "secret" | "upstream" | "origin" | "agent">): void {
    this.#findUsable(use);
  }

  async inject(use: SecretUse): Promise<Injection> {
    try {
      const usable = this.#findUsable(use);
      const { injection: plan } = usable.settings;
      if (plan === null) throw new TrustWardenError("secret_not_allowed", { name: use.secret });
      const opened = await this.#open(usable, use);
      // It may have been taken away while it was opened.
      this.#findUsable(use);
      return this.#beginCall(use, usable.state, { plan, opened });
    } catch (error) {
      if (error instanceof TrustWardenError) await this.#recordRefusal(use, error);
      throw error;
    }
  }

  /**
   * A user and its password, for what the server itself does at an upstream and no agent could do in its place. Never
   * leaves the process but on that connection.
   *
   * @throws TrustWardenError `secret_unknown`, `secret_not_allowed` for another upstream or a secret that is not a
   *   user's, `secret_disabled`, `secret_unavailable`.
   */
  async credentialsFor(
    use: Pick<SecretUse, "secret" | "upstream" | "origin">,
  ): Promise<{ readonly user: string; readonly password: string }> {
    const { state, settings } = this.#findAt(use);
    const { injection } = settings;
    if (state.kind !== "static" || injection?.as !== "basic")
      throw new TrustWardenError("secret_not_allowed", { name: use.secret, reason: "not a user's" });
    const { value } = await this.#opened.open(state);
    return { user: injection.user, password: value };
  }

  canaries(): CanaryWatch {
    if (this.#watch === null) throw new TrustWardenError("secret_unavailable", { reason: "canaries" });
    return this.#watch;
  }

  async reportCanary({ names, where, agent, eventId, peer }: CanaryFinding): Promise<void> {
    const subject = `secret:${names[0] ?? ""}`;
    const details = { event_id: eventId, canaries: [...names], where };
    await this.#alarm("canary_found", { agent, peer, subject, details });
  }

  /** @throws TrustWardenError `secret_unknown`, `secret_disabled`, `secret_not_allowed`. */
  #findUsable(use: Pick<SecretUse, "secret" | "upstream" | "origin" | "agent">): Usable {
    const chain = this.#deps.reads
      .chainOf(use.agent.instanceId)
      .map(({ path, name, ownerId }) => ({ path, name, ownerId: ownerId ?? "" }));
    return this.#findAt(use, (settings) => isNamed(settings, chain));
  }

  /** The same for whoever `isFor` says. */
  #findAt(
    use: Pick<SecretUse, "secret" | "upstream" | "origin">,
    isFor: (settings: SecretSettings) => boolean = () => true,
  ): Usable {
    const name = use.secret;
    const state = this.#deps.reads.findSecret(name);
    if (state === undefined) throw new TrustWardenError("secret_unknown", { name });
    const settings = this.#settingsOf(state);
    if (!goesTo(settings, use))
      throw new TrustWardenError("secret_not_allowed", { name, reason: "upstream" });
    if (!isFor(settings)) throw new TrustWardenError("secret_not_allowed", { name, reason: "agent" });
    if (state.isDisabled) throw new TrustWardenError("secret_disabled", { name });
    return { state, settings };
  }

  /** The credential that goes out, and what finds it: the value itself, or a token that was fetched with it. */
  async #open({ state, settings }: Usable, { agent }: SecretUse): Promise<OpenedSecret> {
    const opened = await this.#opened.open(state);
    if (state.kind !== "oauth") return opened;
    const source = parseTokenSource(settings.source);
    // Two servers that renew it at once show a refresh token twice, which reads as a theft and ends the login.
    if (source.grant === "login" && this.#deps.shared !== undefined)
      throw new TrustWardenError("secret_unavailable", { from: "login", reason: "several servers" });
    const { secretId, revision } = state;
    const fetched =
      source.grant === "login"
        ? await this.#logins.get(this.#loginOf(state, source))
        : await this.#tokens.get({
            ...{ secretId, revision, source },
            clientSecret: opened.value,
            instanceId: agent.instanceId,
          });
    const known = this.#openedTokens.get(fetched);
    if (known !== undefined) return known;
    // A renewal may have put another refresh token in the place of the one that was shown.
    const after = this.#deps.reads.findSecret(state.name);
    const kept = after?.secretId === secretId ? await this.#opened.open(after) : opened;
    const secrets = new Set([fetched.token, ...valuesOf(opened, source), ...valuesOf(kept, source)]);
    const echoes = new Automaton([...secrets].flatMap((secret) => formsOf(secret, 0)));
    const { dpop } = fetched;
    const made = { value: fetched.token, echoes, ...(dpop && { dpop: dpop.proverFor(fetched.token) }) };
    this.#openedTokens.set(fetched, made);
    return made;
  }

  /** A login is read when it is renewed, and not as it was when somebody asked for its token. */
  #loginOf({ name, secretId }: SecretState, source: TokenSource): Login {
    const current = (): SecretState => {
      const state = this.#deps.reads.findSecret(name);
      if (state?.secretId !== secretId) throw new TrustWardenError("secret_unavailable", { name });
      return state;
    };
    return {
      secretId,
      read: async () => {
        const state = current();
        const { value } = await this.#opened.open(state);
        return { revision: state.revision, value: parseLoginValue(value) };
      },
      renew: async (value) => {
        const { refreshToken, clientSecret } = value;
        if (refreshToken === null) return unrenewed(value, this.#deps);
        return this.#tokens.ask(source, { refreshToken, clientSecret: clientSecret ?? "", jwtSvid: "" });
      },
      keep: async (value, revision) => {
        const next = { name, revision, value: formatLoginValue(value), graceSeconds: 0 };
        const reason = "the authorization server gave the next refresh token";
        await this.administration.rotate(next, { context: this.#deps.context(), reason });
      },
    };
  }

  #settingsOf(state: SecretState): SecretSettings {
    const known = this.#settings.get(state);
    if (known !== undefined) return known;
    const settings = readSettings(state);
    this.#settings.set(state, settings);
    return settings;
  }

  #beginCall(
    use: SecretUse,
    { secretId }: SecretState,
    {
      plan,
      opened,
    }: {
      readonly plan: Parameters<typeof injectSecret>[0];
      readonly opened: Awaited<ReturnType<OpenedSecrets["open"]>>;
    },
  ): Injection {
    const call = new AbortController();
    const calls = this.#live.get(secretId) ?? new Set();
    this.#live.set(secretId, calls.add(call));
    const redactors: EchoRedactor[] = [];
    return {
      ...injectSecret(plan, opened.value),
      ...(opened.dpop && { dpop: opened.dpop }),
      signal: call.signal,
      redactor: () => {
        const redactor = createRedactor(opened.echoes);
        redactors.push(redactor);
        return redactor;
      },
      release: async (outcome) => {
        calls.delete(call);
        if (calls.size === 0 && this.#live.get(secretId) === calls) this.#live.delete(secretId);
        const echoes = redactors.reduce((sum, redactor) => sum + redactor.echoes, 0);
        redactors.length = 0;
        if (echoes > 0) await this.#reportEcho(use, { echoes, outcome });
      },
    };
  }

  async #reportEcho(
    use: SecretUse,
    found: { readonly echoes: number; readonly outcome: string },
  ): Promise<void> {
    const { secret, upstream, origin, eventId, agent, peer } = use;
    const details = { event_id: eventId, upstream, origin, ...found };
    await this.#alarm("secret_echoed", { agent, peer, subject: `secret:${secret}`, details });
  }

  async #alarm(
    reason: string,
    {
      agent,
      peer,
      subject,
      details,
    }: {
      readonly agent: AgentPrincipal;
      readonly peer: string;
      readonly subject: string;
      readonly details: Readonly<Record<string, string | number | readonly string[]>>;
    },
  ): Promise<void> {
    this.#deps.warn({ reason, subject, agent: agent.spiffeId }, "alarm");
    const chain = formatChain(agent);
    const draft = { kind: "alarm", allow: false, reasons: [reason], subject, chain, details } as const;
    await this.#deps.record(draft, { principal: agent.spiffeId, peer });
  }

  async #recordRefusal(use: SecretUse, { code, details }: TrustWardenError): Promise<void> {
    const { agent, peer, secret, upstream, origin, eventId } = use;
    const { reason = null } = details;
    await this.#deps.record(
      {
        kind: "secret",
        allow: false,
        reasons: [code],
        subject: `secret:${secret}`,
        chain: formatChain(agent),
        details: { change: "use", upstream, origin, event_id: eventId, reason },
      },
      { principal: agent.spiffeId, peer },
    );
  }

  /** What a committed change means for what is under way. */
  async #follow(
    { secretId, kind }: Pick<SecretState, "secretId" | "kind">,
    change: SecretChange["change"],
  ): Promise<void> {
    this.#forget(secretId);
    if (change === "disable" || change === "delete") this.#cut(secretId);
    if (kind === "canary") await this.#loadCanaries();
  }

  #forget(secretId: string): void {
    this.#opened.forget(secretId);
    this.#tokens.forget(secretId);
    this.#logins.forget(secretId);
  }

  #cut(secretId: string): void {
    for (const call of this.#live.get(secretId) ?? []) call.abort();
  }

  #states(): ReadonlyMap<string, SecretState> {
    return new Map(this.#deps.reads.listSecrets().map((state) => [state.secretId, state]));
  }

  #loadCanaries(): Promise<void> {
    const loaded = this.#loading.then(() => this.#loadNow());
    // Whoever asked for it hears of its failure, which leaves no watch; the next load begins all the same.
    this.#loading = loaded.catch(() => {
      this.#watch = null;
    });
    return loaded;
  }

  async #loadNow(): Promise<void> {
    const canaries = this.#deps.reads
      .listSecrets()
      .filter((state) => state.kind === "canary" && !state.isDisabled);
    try {
      const opened = await Promise.all(
        canaries.map(async (state) =>
          (await openValues(state, this.#deps)).map((value) => ({ name: state.name, value })),
        ),
      );
      this.#watch = createCanaryWatch(opened.flat());
    } catch (error) {
      if (!(error instanceof TrustWardenError)) throw error;
      // Safe: without its canaries the watch refuses everything; the operator deletes the one that does not open.
      this.#watch = null;
      this.#deps.warn({ code: error.code }, "a canary does not open: no call goes through the gateway");
    }
  }

  async #expire(): Promise<void> {
    if (this.#deps.shared?.isTending() === false) return;
    try {
      await this.administration.expire({ context: this.#deps.context(), reason: "grace is over" });
    } catch (error) {
      // Safe to go on: a version whose time is over is not opened any more, and destroying it is tried again.
      const code = error instanceof TrustWardenError ? error.code : "internal";
      this.#deps.warn({ code }, "a replaced version of a secret could not be destroyed yet");
    }
  }
}

/** What must not come back of a secret whose token goes out. */
function valuesOf({ value }: OpenedSecret, { grant }: TokenSource): readonly string[] {
  if (grant !== "login") return value === "" ? [] : [value];
  const { refreshToken, clientSecret } = parseLoginValue(value);
  return [refreshToken, clientSecret].filter((secret) => secret !== null);
}
