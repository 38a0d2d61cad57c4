/** Dark or light: what the system says, unless a person chose. */
import { type ReactElement, useState } from "react";
import { Icon } from "../parts/icons.tsx";

type Theme = "dark" | "light";
const KEY = "trustwarden-theme";
const systemIsDark = window.matchMedia("(prefers-color-scheme: dark)");

function current(): Theme {
  const chosen = localStorage.getItem(KEY);
  if (chosen === "dark" || chosen === "light") return chosen;
  return systemIsDark.matches ? "dark" : "light";
}

/** Puts the palette on the page, and keeps following the system where nobody chose. */
export function applyTheme(): void {
  const apply = () => document.documentElement.setAttribute("data-theme", current());
  systemIsDark.addEventListener("change", apply);
  apply();
}

/** The switch. */
export function ThemeSwitch(): ReactElement {
  const [theme, setTheme] = useState<Theme>(current);
  const other = theme === "dark" ? "light" : "dark";
  const change = () => {
    localStorage.setItem(KEY, other);
    document.documentElement.setAttribute("data-theme", other);
    setTheme(other);
  };
  return (
    <button type="button" className="quiet" onClick={change} aria-label={`Use the ${other} theme`}>
      <Icon name="sun" />
    </button>
  );
}
