/** Horizontal bars in SVG, for the page of the benchmarks and for pictures that stand alone. */

const WIDTH = 860;
const RIGHT_MARGIN = 90;
const ROW_HEIGHT = 44;
const AXIS_HEIGHT = 34;
const TITLE_HEIGHT = 40;
/** What the page says in its style sheet. */
const STANDALONE_STYLE = `<style>text { font: 13px system-ui, sans-serif; fill: #1c2024; } .faint { fill: #62686f; } line { stroke: #d5d9de; }
.ours { fill: #1f6feb; }</style>`;

/** One bar: its length is a share of the plot's width. */
export interface BarRow {
  readonly label: string;
  readonly share: number;
  readonly text: string;
}

/** What the bars are drawn upon. */
export interface BarPlot {
  readonly title: string;
  readonly labelWidth: number;
  readonly rows: readonly BarRow[];
  readonly ticks: readonly { readonly share: number; readonly text: string }[];
}

/** Bars for a page whose style sheet knows the classes. */
export function formatBars(plot: BarPlot): string {
  const height = plot.rows.length * ROW_HEIGHT + AXIS_HEIGHT;
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${plot.title}">${bars(plot)}</svg>`;
}

/** The same as a picture that needs nothing else, on white, under its title. */
export function formatBarsPicture(plot: BarPlot): string {
  const height = plot.rows.length * ROW_HEIGHT + AXIS_HEIGHT + TITLE_HEIGHT;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${plot.title}">
${STANDALONE_STYLE}
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
<text x="16" y="26">${plot.title}</text>
<g transform="translate(0 ${TITLE_HEIGHT})">${bars(plot)}</g>
</svg>
`;
}

function bars({ labelWidth, rows, ticks }: BarPlot): string {
  const bottom = rows.length * ROW_HEIGHT;
  const place = (share: number) => labelWidth + share * (WIDTH - labelWidth - RIGHT_MARGIN);
  const grid = ticks.map(({ share, text }) => {
    const x = place(share).toFixed(1);
    return `<line x1="${x}" x2="${x}" y1="0" y2="${bottom}"/>
<text class="faint" x="${x}" y="${bottom + 22}" text-anchor="middle">${text}</text>`;
  });
  const drawn = rows.map(({ label, share, text }, row) => {
    const top = row * ROW_HEIGHT;
    return `<text x="${labelWidth - 14}" y="${top + 26}" text-anchor="end">${label}</text>
<rect class="ours" x="${labelWidth}" y="${top + 12}" width="${(place(share) - labelWidth).toFixed(1)}" height="20" rx="3"/>
<text x="${(place(share) + 8).toFixed(1)}" y="${top + 27}">${text}</text>`;
  });
  return [...grid, ...drawn].join("\n");
}
