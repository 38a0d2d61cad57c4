/**
 * A TCP link with the faults of a network, in user space: late, losing, cut, parted, one direction or both, as it is told.
 *
 * TCP's promise is kept, since both ends rely on it: bytes arrive in order and once, or the connection ends. A lost
 * segment is therefore a stall, of it and of everything behind it, until it is sent again; a link that is parted keeps
 * what was sent for when it heals, as a sender that repeats it would. Knows nothing of what is inside.
 */
import { connect, createServer, type Socket } from "node:net";

/** What fits into one segment on Ethernet, and so is lost at once. */
const SEGMENT_BYTES = 1_448;
/** The least that Linux waits before it sends again what nobody acknowledged; twice as long each time. */
const RETRANSMIT_MS = 200;
const MAX_RETRANSMITS = 6;
/** As a receive window: more than this waits at the sender. */
const MAX_WAITING_BYTES = 1_048_576;

/** From who connects (`up`) to whom it reaches, and back. */
export type Direction = "up" | "down";

/** What a direction does to what goes through. */
export interface Weather {
  /** Later than sent by. */
  readonly delayMs?: number;
  /** Part of the segments that get lost, from 0 to 1. */
  readonly loss?: number;
}

/** A way to one listener. Commands hold for the connections that there are and for those to come. */
export interface FaultyLink {
  /** On loopback; what connects here reaches the target. */
  readonly port: number;
  /** Connections through it at this moment. */
  readonly connections: number;
  /** @param direction - both unless given. */
  weather(weather: Weather, direction?: Direction): void;
  /** Nothing gets through, not even that somebody left, until `heal`. */
  part(direction?: Direction): void;
  /** Ends every connection with a reset, and each new one at once, until `heal`. */
  cut(): void;
  /** Ends every connection with a reset; they may come again at once. */
  reset(): void;
  /** Ends `part` and `cut`; what was kept arrives. The weather stays. */
  heal(): void;
  /** The next connection that sends something of this kind has it delivered, and is reset instead of answered. */
  loseNextAnswer(isMeant: (sent: Buffer) => boolean): void;
  close(): Promise<void>;
}

/**
 * Listens on a port of its own until it is closed.
 *
 * @param random - from 0 to below 1; decides which segments get lost.
 */
export async function openFaultyLink(
  target: number,
  { random = Math.random }: { readonly random?: () => number } = {},
): Promise<FaultyLink> {
  const link = new Link(target, random);
  await link.listen();
  return link;
}

/** What a direction is under at the moment. */
interface Course {
  delayMs: number;
  loss: number;
  isParted: boolean;
}

class Link implements FaultyLink {
  readonly #courses: Readonly<Record<Direction, Course>> = {
    up: { delayMs: 0, loss: 0, isParted: false },
    down: { delayMs: 0, loss: 0, isParted: false },
  };
  readonly #passages = new Set<Passage>();
  readonly #listener = createServer({ allowHalfOpen: true, noDelay: true }, (near) => this.#take(near));
  readonly #target: number;
  readonly #random: () => number;
  #isMeant: ((sent: Buffer) => boolean) | undefined;
  #isCut = false;

  constructor(target: number, random: () => number) {
    this.#target = target;
    this.#random = random;
  }

  get port(): number {
    const address = this.#listener.address();
    if (address === null || typeof address === "string") throw new Error("a TCP listener has a port");
    return address.port;
  }

  get connections(): number {
    return this.#passages.size;
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#listener.listen(0, "127.0.0.1", resolve));
  }

  weather(weather: Weather, direction?: Direction): void {
    for (const course of this.#of(direction)) Object.assign(course, { delayMs: 0, loss: 0, ...weather });
  }

  part(direction?: Direction): void {
    for (const course of this.#of(direction)) course.isParted = true;
  }

  cut(): void {
    this.#isCut = true;
    this.reset();
  }

  reset(): void {
    for (const passage of [...this.#passages]) passage.reset();
  }

  heal(): void {
    this.#isCut = false;
    for (const course of this.#of()) course.isParted = false;
    for (const passage of this.#passages) passage.goOn();
  }

  loseNextAnswer(isMeant: (sent: Buffer) => boolean): void {
    this.#isMeant = isMeant;
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#listener.close(() => resolve()));
  }

  #of(direction?: Direction): readonly Course[] {
    return direction === undefined ? Object.values(this.#courses) : [this.#courses[direction]];
  }

  #take(near: Socket): void {
    near.on("error", () => near.destroy());
    if (this.#isCut) {
      near.resetAndDestroy();
      return;
    }
    const passage = new Passage(near, {
      target: this.#target,
      courses: this.#courses,
      random: this.#random,
      isRobbed: (sent) => this.#isRobbed(sent),
      onEnd: () => this.#passages.delete(passage),
    });
    this.#passages.add(passage);
    passage.goOn();
  }

  #isRobbed(sent: Buffer): boolean {
    const isIt = this.#isMeant?.(sent) === true;
    if (isIt) this.#isMeant = undefined;
    return isIt;
  }
}

interface PassageOptions {
  readonly target: number;
  readonly courses: Readonly<Record<Direction, Course>>;
  readonly random: () => number;
  readonly isRobbed: (sent: Buffer) => boolean;
  readonly onEnd: () => void;
}

/** One connection through the link. The far end is not connected to before something can get there. */
class Passage {
  readonly #near: Socket;
  readonly #options: PassageOptions;
  #far: Socket | undefined;
  #lanes: readonly Lane[] = [];
  #isRobbed = false;

  constructor(near: Socket, options: PassageOptions) {
    this.#near = near;
    this.#options = options;
    near.pause();
    near.once("close", () => this.#endWhenBothDid());
  }

  reset(): void {
    this.#near.resetAndDestroy();
    this.#far?.resetAndDestroy();
    for (const lane of this.#lanes) lane.stop();
    this.#options.onEnd();
  }

  goOn(): void {
    const { courses } = this.#options;
    if (this.#far === undefined && !courses.up.isParted && !courses.down.isParted) this.#reach();
    for (const lane of this.#lanes) lane.goOn();
  }

  #reach(): void {
    const { target, courses, random, isRobbed } = this.#options;
    const near = this.#near;
    const far = connect({ port: target, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    this.#far = far;
    far.on("error", () => far.destroy());
    far.once("close", () => this.#endWhenBothDid());
    const up = new Lane(near, far, courses.up, random);
    const down = new Lane(far, near, courses.down, random);
    this.#lanes = [up, down];
    near.on("data", (bytes: Buffer) => {
      this.#isRobbed ||= isRobbed(bytes);
      up.take(bytes);
    });
    far.on("data", (bytes: Buffer) => {
      if (this.#isRobbed) this.reset();
      else down.take(bytes);
    });
    near.resume();
  }

  #endWhenBothDid(): void {
    if (this.#near.destroyed && this.#far?.destroyed !== false) this.#options.onEnd();
  }
}

/** One direction of one connection. Between calls: what waits is in the order of sending, and so are its instants. */
class Lane {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #course: Course;
  readonly #random: () => number;
  readonly #waiting: { readonly dueMs: number; readonly arrive: () => void; readonly bytes: number }[] = [];
  #bytes = 0;
  #lastDueMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, course: Course, random: () => number) {
    this.#from = from;
    this.#to = to;
    this.#course = course;
    this.#random = random;
    from.once("end", () => this.#send(0, () => to.end()));
    from.once("close", () => this.#send(0, () => to.destroySoon()));
  }

  take(bytes: Buffer): void {
    for (let start = 0; start < bytes.length; start += SEGMENT_BYTES) {
      const segment = bytes.subarray(start, start + SEGMENT_BYTES);
      this.#send(segment.length, () => this.#to.write(segment));
    }
    if (this.#bytes > MAX_WAITING_BYTES) this.#from.pause();
  }

  goOn(): void {
    clearTimeout(this.#timer);
    const nowMs = performance.now();
    for (let [next] = this.#waiting; next !== undefined && !this.#course.isParted; [next] = this.#waiting) {
      if (next.dueMs > nowMs) {
        this.#timer = setTimeout(() => this.goOn(), next.dueMs - nowMs);
        return;
      }
      this.#waiting.shift();
      this.#bytes -= next.bytes;
      next.arrive();
    }
    if (this.#bytes <= MAX_WAITING_BYTES) this.#from.resume();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#waiting.length = 0;
  }

  #send(bytes: number, arrive: () => void): void {
    const atMs = performance.now() + this.#course.delayMs + this.#stallMs();
    this.#lastDueMs = Math.max(this.#lastDueMs, atMs);
    this.#waiting.push({ dueMs: this.#lastDueMs, arrive, bytes });
    this.#bytes += bytes;
    // Nothing that waits is earlier than what is first.
    if (this.#waiting.length === 1) this.goOn();
  }

  /** How long it takes until a segment is sent often enough to arrive. */
  #stallMs(): number {
    let stallMs = 0;
    for (let tries = 0; tries < MAX_RETRANSMITS && this.#random() < this.#course.loss; tries += 1) {
      stallMs += RETRANSMIT_MS * 2 ** tries;
    }
    return stallMs;
  }
}
