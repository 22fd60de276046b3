import { join } from "node:path";
import { defineConfig } from "vitest/config";

const root = join(import.meta.dirname, "..");

// unit: pure functions and the embedded API server; no root, no Debian packages but openssl, no addon. A process for
// each processor runs many files, so a file leaves nothing behind; what files start is compiled once and cached.
// root: real kernel, real namespaces; one file at a time, because they share the machine.
export default defineConfig({
  root,
  cacheDir: join(root, "node_modules/.vite"),
  test: {
    projects: [
      {
        root,
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          setupFiles: ["test/seed.ts"],
          isolate: false,
          maxWorkers: "100%",
          env: { NODE_COMPILE_CACHE: join(root, "node_modules/.compile-cache") },
          testTimeout: 20_000,
        },
      },
      {
        root,
        test: {
          name: "root",
          include: ["test/e2e/**/*.test.ts", "test/native/**/*.test.ts"],
          setupFiles: ["test/seed.ts"],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
