/** The process that stops while others make the load, as the run has it. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { z } from "zod";

const PROGRAM = join(import.meta.dirname, "stops.ts");

/** Stops are going on until it is ended. */
export interface Stopping {
  /** Milliseconds of each stop, from the instant at which it was due. */
  end(): Promise<readonly number[]>;
}

/**
 * Enrols whom to stop.
 *
 * @param children - ended with the run, whatever becomes of it.
 * @returns what begins to stop them.
 */
export async function prepareStops(
  children: ChildProcess[],
  of: { readonly ready: string; readonly aud: string; readonly count: number },
): Promise<() => Stopping> {
  const child = fork(PROGRAM, [of.ready, of.aud, String(of.count)]);
  children.push(child);
  const gone = once(child, "exit").then(() => {
    throw new Error("the process that stops has ended");
  });
  gone.catch(() => undefined);
  const hear = async (): Promise<unknown> => {
    const [message] = await Promise.race([once(child, "message"), gone]);
    return message;
  };
  await hear();
  return () => {
    child.send("begin");
    return {
      end: () => {
        const heard = hear();
        child.send("end");
        return heard.then((message) => z.array(z.number()).parse(message));
      },
    };
  };
}
