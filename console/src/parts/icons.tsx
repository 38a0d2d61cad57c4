/** The console's own icons: one stroke, one size, drawn by nobody else. */
import type { ReactElement } from "react";

const PATHS = {
  now: "M3 12h4l3-8 4 16 3-8h4",
  agents: "M12 3v5M12 8H6v4M12 8h6v4M4 12h4v4H4zM16 12h4v4h-4zM10 12h4v4h-4zM12 8v4",
  question:
    "M9 9a3 3 0 1 1 4.500 2.600c-1 .6-1.500 1.200-1.500 2.400M12 17.500v.5M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18",
  ledger: "M5 4h14v16H5zM9 8h6M9 12h6M9 16h4",
  approvals: "M4 12l5 5L20 6",
  confirmations: "M3 12l4 4 8-9M10 15l2 2 9-10",
  offers: "M4 13h4l2 3h4l2-3h4M4 13v7h16v-7M12 3v8M9 8l3 3 3-3",
  policies: "M12 3l8 3v6c0 5-3.500 7.800-8 9-4.500-1.200-8-4-8-9V6z",
  people:
    "M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7M3 20c0-3.300 2.700-6 6-6s6 2.700 6 6M16 4.500a3.500 3.500 0 0 1 0 6M18 14.500c1.800.9 3 3 3 5.500",
  secrets: "M7 11V8a5 5 0 0 1 10 0v3M5 11h14v10H5zM12 15v2",
  settings: "M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4",
  search: "M11 4a7 7 0 1 1 0 14 7 7 0 0 1 0-14M16 16l5 5",
  sun: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.500 1.500M17.500 17.500 19 19M19 5l-1.500 1.500M6.500 17.500 5 19",
  stop: "M8 3h8l5 5v8l-5 5H8l-5-5V8zM9 9h6v6H9z",
  check: "M4 12l5 5L20 6",
  cross: "M6 6l12 12M18 6 6 18",
  chevron: "M9 5l7 7-7 7",
  copy: "M8 8h12v12H8zM4 16V4h12",
  download: "M12 4v11M7 11l5 5 5-5M4 20h16",
} as const;

export type IconName = keyof typeof PATHS;

/** An icon beside words that say the same; screen readers pass it over. */
export function Icon({ name }: { readonly name: IconName }): ReactElement {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
