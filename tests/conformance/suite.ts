/** Every line of the conformance suite, in the order of the report. */
import type { Case } from "./case.ts";
import { CONTENT } from "./cases/content.ts";
import { CREATE } from "./cases/create.ts";
import { DERIVE } from "./cases/derive.ts";
import { READ } from "./cases/read.ts";
import { RETRY } from "./cases/retry.ts";
import { WEBHOOK } from "./cases/webhook.ts";

export const SUITE: readonly Case[] = [...CREATE, ...READ, ...CONTENT, ...DERIVE, ...RETRY, ...WEBHOOK];
