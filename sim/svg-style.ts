/** Measures, colours and small marks that all panels of the picture share. */
export const PANEL = { width: 1_000, left: 70, plot: 900 } as const;
export const HEIGHTS = { wait: 150, gpus: 260, share: 190 } as const;

/** Told apart also by people who see few colours. */
export const TIER_COLOURS: Readonly<Record<string, string>> = { free: "#8fb8de", plus: "#e69f00", pro: "#7b3f9d" };

const TICKS = 8;

export function label(x: number, y: number, text: string, style: "plain" | "bold" | "end" = "plain"): string {
  const attributes = { plain: "", bold: ' font-weight="bold" font-size="14"', end: ' text-anchor="end"' }[style];
  const escaped = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" fill="#222222"${attributes}>${escaped}</text>`;
}

/** Ticks in hours below a panel of this height. */
export function axisX(height: number, endMs: number): string {
  return Array.from({ length: TICKS + 1 }, (_, tick) => {
    const x = PANEL.left + (tick / TICKS) * PANEL.plot;
    const hours = ((tick / TICKS) * endMs) / 3_600_000;
    const mark = `<path d="M${x} ${height}v4" stroke="#222222"/>`;
    return `${mark}${label(x - 10, height + 16, `${hours.toFixed(hours < 10 ? 1 : 0)} h`)}`;
  }).join("");
}

export function duration(seconds: number): string {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  return seconds < 3_600 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3_600).toFixed(1)} h`;
}
