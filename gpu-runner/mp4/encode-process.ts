/** The parent's side of `encode-child.ts`. */
import { fork } from "node:child_process";
import type { Picture, WrittenMp4 } from "./write-mp4.ts";

const CHILD_HEAP_MIB = 256;

export interface EncodeOrder {
  /** Frame after frame, three bytes a pixel. */
  readonly framesPath: string;
  readonly path: string;
  readonly picture: Picture;
}

export type EncodeAnswer =
  | { readonly t: "frames"; readonly done: number; readonly ms: number }
  | { readonly t: "written"; readonly written: WrittenMp4 }
  | { readonly t: "failed"; readonly detail: string };

export interface Encoding {
  /** Rejects if the process failed or was killed. */
  readonly written: Promise<WrittenMp4>;
  kill(): void;
}

export function encodeInProcess(order: EncodeOrder, progress: (done: number, ms: number) => void): Encoding {
  const { promise, resolve, reject } = Promise.withResolvers<WrittenMp4>();
  const child = fork(new URL("./encode-child.ts", import.meta.url), [JSON.stringify(order)], {
    execArgv: [`--max-old-space-size=${CHILD_HEAP_MIB}`, "--expose-gc"],
  });
  child.on("message", (answer: EncodeAnswer) => {
    switch (answer.t) {
      case "frames":
        return progress(answer.done, answer.ms);
      case "written":
        return resolve(answer.written);
      case "failed":
        return reject(new Error(`the video could not be encoded: ${answer.detail}`));
      default:
        return answer satisfies never;
    }
  });
  child.on("error", reject);
  child.on("exit", (code, signal) => reject(new Error(`the encoder process ended (${signal ?? code})`)));
  return { written: promise, kill: () => child.kill("SIGKILL") };
}
