/** How numbers, times and identifiers are written on screens. */

const COUNT = new Intl.NumberFormat("en");
const TIME = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** 1,500,000 */
export function formatCount(count: number): string {
  return COUNT.format(count);
}

/** A day and a time of this browser's zone. @param unixSeconds - or RFC 3339. */
export function formatTime(unixSeconds: number | string): string {
  return TIME.format(typeof unixSeconds === "string" ? new Date(unixSeconds) : new Date(unixSeconds * 1000));
}

/** Hours, minutes and seconds alone. */
export function formatClock(time: string): string {
  return CLOCK.format(new Date(time));
}

/** 88:1, or 0.5:1 where there are fewer agents than owners. */
export function formatRatio(agents: number, owners: number): string {
  if (owners === 0) return "–";
  const ratio = agents / owners;
  return `${ratio >= 10 ? Math.round(ratio) : Math.round(ratio * 10) / 10}:1`;
}

/** The last part of a SPIFFE ID that a person tells agents apart by. */
export function formatAgentName(spiffeId: string | null): string {
  if (spiffeId === null) return "–";
  const segments = spiffeId.replace(/^spiffe:\/\/[^/]+\//, "").split("/");
  return segments.filter((segment) => !segment.startsWith("inst-")).join("/");
}

/** How long ago, or how long until: in the largest unit that fits. */
export function formatSpan(seconds: number): string {
  const span = Math.abs(Math.round(seconds));
  if (span < 90) return `${span} s`;
  if (span < 5400) return `${Math.round(span / 60)} min`;
  if (span < 129_600) return `${Math.round(span / 3600)} h`;
  return `${Math.round(span / 86_400)} days`;
}
