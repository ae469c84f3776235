/** The version of everything that decides the engine's latents: raise it whenever a golden hash changes. */
export const REFERENCE_BUILD = "reference-1";
