/** Everything that happens, folded into 64 bits as it happens: two runs of a seed are the same if theirs are. */
export class LogHash {
  #high = 0x811c9dc5;
  #low = 0x01000193;

  add(text: string): void {
    let high = this.#high;
    let low = this.#low;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      high = Math.imul(high ^ code, 0x01000193);
      low = Math.imul(low ^ code ^ (high >>> 15), 0x85ebca6b);
    }
    this.#high = high ^ (low >>> 13);
    this.#low = low;
  }

  get text(): string {
    return [this.#high, this.#low].map((part) => (part >>> 0).toString(16).padStart(8, "0")).join("");
  }
}
