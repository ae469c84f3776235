/** Measures, colours and small marks that all panels of the picture share. */
export const PANEL = { width: 1_000, left: 104, plot: 876 } as const;
export const HEIGHTS = { wait: 170, gpus: 272, share: 176 } as const;

/** Told apart also by people who see few colours. */
const TIER_COLOURS: Readonly<Record<string, string>> = { free: "#6ba3d6", plus: "#e69f00", pro: "#7b3f9d" };
const OTHER_TIER = "#4d8b57";
export const INK = {
  text: "#222222",
  faint: "#666666",
  grid: "#dcdcda",
  ground: "#f4f4f2",
  loading: "#555555",
} as const;

const SECOND_MS = 1_000;
const MINUTE_S = 60;
const HOUR_S = 3_600;
/** Distances between two ticks that a person can count in. */
const TICK_STEPS_S = [
  1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 172_800, 604_800,
];
const TICKS_MAX = 13;

/** What all policies of a picture are drawn by, so that they can be compared. */
export interface Scale {
  readonly endMs: number;
  readonly longestWaitS: number;
  /** Most jobs that came within one bin. */
  readonly busiestBin: number;
}

export function tierColour(tier: string): string {
  return TIER_COLOURS[tier] ?? OTHER_TIER;
}

export type TextStyle = "plain" | "bold" | "end" | "middle" | "faint";
const TEXT: Readonly<Record<TextStyle, string>> = {
  plain: "",
  bold: ' font-weight="bold" font-size="17"',
  end: ' text-anchor="end"',
  middle: ' text-anchor="middle"',
  faint: ` fill="${INK.faint}"`,
};

export function label(x: number, y: number, text: string, style: TextStyle = "plain"): string {
  const escaped = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${short(x)}" y="${short(y)}"${TEXT[style]}>${escaped}</text>`;
}

/** The heading of a panel, right above it. */
export function heading(text: string): string {
  return label(PANEL.left, -8, text);
}

export function xOf(ms: number, { endMs }: Scale): number {
  return PANEL.left + (ms / endMs) * PANEL.plot;
}

/** Round times below a panel of this height. */
export function axisX(height: number, scale: Scale): string {
  const endS = scale.endMs / SECOND_MS;
  const stepS = TICK_STEPS_S.find((step) => endS / step < TICKS_MAX) ?? endS;
  const ticks = Array.from({ length: Math.floor(endS / stepS) + 1 }, (_, tick) => tick * stepS);
  return ticks
    .map((atS) => {
      const x = xOf(atS * SECOND_MS, scale);
      return `<path d="M${short(x)} ${height}v5" stroke="${INK.text}"/>${label(x, height + 18, clock(atS, stepS), "middle")}`;
    })
    .join("");
}

/** A time on the axis, in the unit of its steps. */
function clock(seconds: number, stepS: number): string {
  if (stepS >= HOUR_S) return `${seconds / HOUR_S} h`;
  return stepS >= MINUTE_S ? `${seconds / MINUTE_S} min` : `${seconds} s`;
}

export function duration(seconds: number): string {
  if (seconds < MINUTE_S) return `${Math.round(seconds)} s`;
  return seconds < HOUR_S ? `${Math.round(seconds / MINUTE_S)} min` : `${(seconds / HOUR_S).toFixed(1)} h`;
}

/** A coordinate in as few characters as a tenth of a pixel needs. */
export function short(value: number): string {
  return String(Math.round(value * 10) / 10);
}
