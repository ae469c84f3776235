/** What the models of a slot must answer when they are loaded, and whether the slot has failed since it last did. */
import type { Sha256Hex } from "#protocol/id.ts";
import type { ModelEntry } from "./model-file.ts";

export class KnownAnswers {
  /** By model, at its first load here. */
  readonly #first = new Map<string, Sha256Hex>();
  /** Due after a failure, instead of the right one: makes a device that is broken, in tests. */
  readonly #planted: Sha256Hex | null;
  #suspect = false;

  constructor(planted: Sha256Hex | null) {
    this.#planted = planted;
  }

  /** The engine failed, and may be broken. */
  suspect(): void {
    this.#suspect = true;
  }

  /** Null if the answer is right, or nothing was asked; else what it should have been. */
  missed({ name, known_answer: pinned }: ModelEntry, answer: Sha256Hex | null): Sha256Hex | null {
    if (answer !== null) {
      const due = typeof pinned === "string" ? pinned : (this.#first.get(name) ?? answer);
      const asked = this.#suspect && this.#planted !== null ? this.#planted : due;
      if (answer !== asked) return asked;
      this.#first.set(name, answer);
    }
    this.#suspect = false;
    return null;
  }
}
