import { defineConfig } from "vitest/config";

// unit: pure functions and the embedded API server; no root, no Debian packages, no addon.
// root: real kernel, real namespaces; one file at a time, because they share the machine.
export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", root: "..", include: ["test/unit/**/*.test.ts"], testTimeout: 20_000 } },
      {
        test: {
          name: "root",
          root: "..",
          include: ["test/e2e/**/*.test.ts", "test/native/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
