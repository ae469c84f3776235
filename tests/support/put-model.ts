/** A model as an operator offers it (`PUT /admin/v1/models/{name}`), with everything that has no default. */
export const MODEL = {
  engine: "diffusers",
  fps: 16,
  sizes: [{ size: "832x480", resolution: "480p" }],
  default_size: "832x480",
  seconds_max: 5,
  seconds_default: 5,
  steps_default: 40,
  steps_max: 60,
} as const;
