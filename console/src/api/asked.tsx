/**
 * What was asked last. Short names stand in the address, where they can be shared; whatever is longer may be a token or a
 * receipt of somebody, and stays in memory: not in the address, the history or a log of either.
 */
import { useNavigate } from "@tanstack/react-router";
import { createContext, type ReactElement, type ReactNode, useContext, useState } from "react";

/** Longer than an event id, an agent id or an instance id. */
const MAX_ADDRESS_CHARS = 64;

interface Asked {
  /** Empty where the address says what was asked. */
  readonly pasted: string;
  /** Rises with each question: the same may be asked twice. */
  readonly turn: number;
}

interface AskedState {
  readonly asked: Asked;
  readonly setAsked: (change: (before: Asked) => Asked) => void;
}

const NOTHING: Asked = { pasted: "", turn: 0 };
const AskedContext = createContext<AskedState>({ asked: NOTHING, setAsked: () => undefined });

/** Keeps a pasted text for the question screen. */
export function AskedProvider({ children }: { readonly children: ReactNode }): ReactElement {
  const [asked, setAsked] = useState(NOTHING);
  return <AskedContext value={{ asked, setAsked }}>{children}</AskedContext>;
}

/** What was asked last. */
export function useAsked(): Asked {
  return useContext(AskedContext).asked;
}

/** Asks from anywhere. */
export function useAsk(): (text: string) => void {
  const { setAsked } = useContext(AskedContext);
  const navigate = useNavigate();
  return (text) => {
    const isShort = text.trim().length <= MAX_ADDRESS_CHARS;
    setAsked(({ turn }) => ({ pasted: isShort ? "" : text, turn: turn + 1 }));
    void navigate({ to: "/question", search: isShort ? { q: text.trim() } : {} });
  };
}
