/** Collects what rounds measured: per goal the worst value and how often it was seen. */
import type { Figure, Goal } from "./row.ts";

export class Figures {
  readonly #goals: readonly Goal[];
  readonly #values = new Map<string, number[]>();

  constructor(goals: readonly Goal[]) {
    this.#goals = goals;
  }

  note(name: string, value: number): void {
    if (!this.#goals.some((goal) => goal.name === name)) throw new Error(`the row has no goal ${name}`);
    this.#values.getOrInsertComputed(name, () => []).push(value);
  }

  /** `values[quantile × length]`, for a note beside the worst one. */
  quantile(name: string, quantile: number): number | null {
    const values = (this.#values.get(name) ?? []).toSorted((a, b) => a - b);
    return values[Math.min(values.length - 1, Math.floor(quantile * values.length))] ?? null;
  }

  all(): readonly Figure[] {
    return this.#goals.map((goal) => {
      const values = this.#values.get(goal.name) ?? [];
      return { goal, worst: values.length === 0 ? null : Math.max(...values), median: this.quantile(goal.name, 0.5) };
    });
  }
}
