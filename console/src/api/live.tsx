/**
 * The live stream: one connection for the whole console, two frames a second, a bounded history.
 *
 * The server ends a stream after a minute and the browser comes back by itself; a stream that is refused asks whether
 * the session is over.
 */
import { useQueryClient } from "@tanstack/react-query";
import { type LiveFrame, liveFrame } from "@trustwarden/core/api/tree.ts";
import { createContext, type ReactElement, type ReactNode, useContext, useEffect, useState } from "react";
import { SESSION_KEY } from "./session.tsx";

/** Two minutes. */
export const MAX_FRAMES = 240;
/** As many decisions as a list shows. */
const MAX_RECENT = 40;
const RETRY_MS = 2000;

/** What the stream has said lately. */
export interface Live {
  readonly isConnected: boolean;
  /** Oldest first. */
  readonly frames: readonly LiveFrame[];
  /** Newest first. */
  readonly recent: LiveFrame["recent"];
  /** Agents per owner of the last week, oldest first; empty for whoever sees no counts. */
  readonly ratio: NonNullable<LiveFrame["ratio"]>;
}

const NOTHING: Live = { isConnected: false, frames: [], recent: [], ratio: [] };
const LiveContext = createContext<Live>(NOTHING);

/** What happens now. */
export function useLive(): Live {
  return useContext(LiveContext);
}

/** Holds the stream open while it is shown. */
export function LiveProvider({ children }: { readonly children: ReactNode }): ReactElement {
  const [live, setLive] = useState<Live>(NOTHING);
  const queries = useQueryClient();
  useEffect(
    () => follow(setLive, () => void queries.invalidateQueries({ queryKey: SESSION_KEY })),
    [queries],
  );
  return <LiveContext value={live}>{children}</LiveContext>;
}

function follow(change: (next: (live: Live) => Live) => void, onRefused: () => void): () => void {
  let source: EventSource | null = null;
  let retry = 0;
  const open = () => {
    source = new EventSource("/v1/live");
    source.onmessage = ({ data }: MessageEvent<string>) => {
      const parsed = liveFrame.safeParse(JSON.parse(data));
      if (parsed.success) change((live) => withFrame(live, parsed.data));
    };
    source.onerror = () => {
      // A stream that came to its end is opened again by the browser; one that was refused is not.
      if (source?.readyState !== EventSource.CLOSED) return;
      change((live) => ({ ...live, isConnected: false }));
      onRefused();
      retry = window.setTimeout(open, RETRY_MS);
    };
  };
  open();
  return () => {
    window.clearTimeout(retry);
    source?.close();
  };
}

function withFrame({ frames, recent, ratio }: Live, frame: LiveFrame): Live {
  return {
    isConnected: true,
    frames: [...frames.slice(1 - MAX_FRAMES), frame],
    ratio: frame.ratio ?? ratio,
    recent: frame.recent.length === 0 ? recent : [...frame.recent, ...recent].slice(0, MAX_RECENT),
  };
}
