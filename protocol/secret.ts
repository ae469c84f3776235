/**
 * What a secret must be: in development anything of some length; elsewhere long, varied, not one that stands in an example,
 * and each setting another. Faults name settings, never values.
 */

const CHARS_MIN = { development: 16, elsewhere: 32 } as const;
/** Random text of the length has more; a pattern typed by hand has not. */
const DISTINCT_CHARS_MIN = 10;
/** Long enough that random text does not contain them. */
const EXAMPLES = [
  "changeme",
  "change-me",
  "password",
  "only-for-tests",
  "example",
  "default",
  "insecure",
  "development",
];

/** By setting: its secrets, more than one while they are rotated. */
export type NamedSecrets = Readonly<Record<string, readonly string[]>>;

/** Every fault of all settings, as `NAME: what is wrong`. */
export function secretFaults(settings: NamedSecrets, isDevelopment: boolean): readonly string[] {
  const faults = Object.entries(settings).flatMap(([name, secrets]) =>
    secrets.flatMap((secret) => faultsOf(secret, isDevelopment).map((fault) => `${name}: ${fault}`)),
  );
  return isDevelopment ? faults : [...faults, ...sharedSecrets(settings)];
}

function faultsOf(secret: string, isDevelopment: boolean): readonly string[] {
  const charsMin = isDevelopment ? CHARS_MIN.development : CHARS_MIN.elsewhere;
  if (secret.length < charsMin) return [`must have at least ${charsMin} characters`];
  if (isDevelopment) return [];
  if (new Set(secret).size < DISTINCT_CHARS_MIN) return ["must be random: it has too few different characters"];
  const lower = secret.toLowerCase();
  return EXAMPLES.some((example) => lower.includes(example)) ? ["must be random: it looks like an example"] : [];
}

function sharedSecrets(settings: NamedSecrets): readonly string[] {
  const namesOf = new Map<string, string[]>();
  for (const [name, secrets] of Object.entries(settings)) {
    for (const secret of secrets) namesOf.set(secret, [...(namesOf.get(secret) ?? []), name]);
  }
  return [...namesOf.values()]
    .filter((names) => names.length > 1)
    .map((names) => `${[...new Set(names)].join(", ")}: the same secret is set more than once`);
}
