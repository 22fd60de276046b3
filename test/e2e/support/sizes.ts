/** How much the random and the long tests do: what every `npm test` can afford, or with PODGATE_LONG=1 (`npm run test:long`) all of it. */
export interface Sizes {
  /** Rounds of 2,500 (policy, pod) pairs, compared in the kernel's maps. */
  readonly pairRounds: number;
  /** Rounds of 10,000 (pod, policy, destination) triples. */
  readonly tripleRounds: number;
  /** Services with a policy each that real pods dial. */
  readonly dialledPolicies: number;
  /** Pods that dial all of them. */
  readonly dialling: number;
  /** MB that one proxied connection carries, each way. */
  readonly megabytes: number;
  /** Proxied connections one after the other. */
  readonly shortConnections: number;
  /** Proxied connections that are open at once, twice as many as its heap has grown for: two of the agent's descriptors each. */
  readonly idleConnections: number;
  /** TLS handshakes that are begun and not made, at once: one of the agent's descriptors each. */
  readonly halfOpenConnections: number;
}

const usual: Sizes = {
  pairRounds: 4,
  tripleRounds: 4,
  dialledPolicies: 50,
  dialling: 10,
  megabytes: 256,
  shortConnections: 2000,
  idleConnections: 4000,
  halfOpenConnections: 1000,
};
const long: Sizes = {
  pairRounds: 40,
  tripleRounds: 100,
  dialledPolicies: 100,
  dialling: 20,
  megabytes: 1024,
  shortConnections: 10_000,
  idleConnections: 9500,
  halfOpenConnections: 9600,
};

export const sizes: Sizes = process.env.PODGATE_LONG === "1" ? long : usual;
