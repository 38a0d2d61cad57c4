/**
 * A few requests of one connection at once.
 *
 * HTTP/1.1 lets a client send on before it is answered (RFC 9112 §9.3.2), and whatever one packet brings is handed to us in one
 * step. So a stranger with ten connections had thousands of refusals made between two looks at the beats, and every lease lapsed.
 * No client of ours sends on; whoever sends more than a little is cut, and comes again by a handshake, which has its turn.
 */
import type { RequestListener } from "node:http";
import type { Socket } from "node:net";

/** A client that sends on does so by a few. */
const MAX_UNANSWERED = 8;

/** Cuts connections that have more on their way; nothing of theirs is begun any more. */
export function takeFewAtOnce(handler: RequestListener): RequestListener {
  const unanswered = new WeakMap<Socket, number>();
  const add = (socket: Socket, more: number): number => {
    const count = (unanswered.get(socket) ?? 0) + more;
    unanswered.set(socket, count);
    return count;
  };
  return (request, response) => {
    const { socket } = request;
    // What came in one packet with the request that was one too many.
    if (socket.destroyed) return;
    if (add(socket, 1) > MAX_UNANSWERED) {
      socket.destroy();
      return;
    }
    response.once("close", () => add(socket, -1));
    handler(request, response);
  };
}
