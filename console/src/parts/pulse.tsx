/** Two minutes of decisions as two lines on a canvas: one drawing a frame, whatever the load. */
import type { LiveFrame } from "@trustwarden/core/api/tree.ts";
import { type ReactElement, useEffect, useRef } from "react";
import { MAX_FRAMES } from "../api/live.tsx";
import { formatCount } from "./format.ts";

const HEIGHT = 120;
/** So that one decision a second is not drawn as a mountain. */
const LEAST_PEAK = 5;

/** The chart; what it shows is said in words too. */
export function Pulse({ frames }: { readonly frames: readonly LiveFrame[] }): ReactElement {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const drawn = canvas.current;
    if (drawn === null) return;
    // Drawn by its width: at each frame, and when the window is another.
    const sized = new ResizeObserver(() => draw(drawn, frames));
    sized.observe(drawn);
    return () => sized.disconnect();
  }, [frames]);
  const peak = Math.max(
    0,
    ...frames.map(({ allowed, denied, span_ms }) => perSecond(allowed + denied, span_ms)),
  );
  return (
    <canvas
      ref={canvas}
      className="pulse"
      role="img"
      aria-label={`Decisions a second over two minutes; at most ${formatCount(Math.round(peak))}`}
    />
  );
}

function perSecond(count: number, spanMs: number): number {
  return spanMs <= 0 ? 0 : (count * 1000) / spanMs;
}

function draw(canvas: HTMLCanvasElement, frames: readonly LiveFrame[]): void {
  const context = canvas.getContext("2d");
  if (context === null) return;
  const scale = window.devicePixelRatio;
  const width = canvas.clientWidth;
  canvas.width = width * scale;
  canvas.height = HEIGHT * scale;
  context.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const allowed = frames.map((frame) => perSecond(frame.allowed, frame.span_ms));
  const denied = frames.map((frame) => perSecond(frame.denied, frame.span_ms));
  const peak = Math.max(LEAST_PEAK, ...allowed, ...denied);
  context.font = `11px ${style.fontFamily}`;
  context.strokeStyle = style.getPropertyValue("--line");
  context.fillStyle = style.getPropertyValue("--muted");
  for (const part of [0, 0.5, 1]) {
    const y = 8 + (HEIGHT - 16) * part;
    context.beginPath();
    context.moveTo(34, y);
    context.lineTo(width, y);
    context.stroke();
    context.fillText(formatCount(Math.round(peak * (1 - part))), 0, y + 4);
  }
  line(context, { values: allowed, peak, width, colour: style.getPropertyValue("--accent") });
  line(context, { values: denied, peak, width, colour: style.getPropertyValue("--bad") });
}

function line(
  context: CanvasRenderingContext2D,
  {
    values,
    peak,
    width,
    colour,
  }: {
    readonly values: readonly number[];
    readonly peak: number;
    readonly width: number;
    readonly colour: string;
  },
): void {
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.lineJoin = "round";
  context.beginPath();
  for (const [index, value] of values.entries()) {
    const x = 36 + ((width - 38) * (MAX_FRAMES - values.length + index)) / (MAX_FRAMES - 1);
    const y = HEIGHT - 8 - ((HEIGHT - 16) * value) / peak;
    if (index === 0) context.moveTo(x, y);
    else context.lineTo(x, y);
  }
  context.stroke();
}
