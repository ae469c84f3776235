/** Who acts where a test does what operators do. */
export const BY_TEST = { actor: "test", requestId: "req_of_the_test" } as const;
