/** The user's terminal: lines that stay, and one status line that is drawn over (on a TTY) or printed on change. */

export class Terminal {
  readonly isTty = process.stdout.isTTY;
  #status = "";

  get columns(): number {
    return process.stdout.columns ?? 200;
  }

  line(text: string): void {
    process.stdout.write(this.isTty && this.#status !== "" ? `\r\u001b[K${text}\n${this.#status}` : `${text}\n`);
  }

  /** An empty text removes the line. */
  status(text: string): void {
    if (text === this.#status) return;
    if (this.isTty) process.stdout.write(`\r\u001b[K${text}`);
    else if (text !== "") process.stdout.write(`${text}\n`);
    this.#status = text;
  }
}
