import { configDefaults, defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "packages/*/src/**/*.test.ts", "test/**/*.test.ts"],
    // They build programs in other languages: `npm run test:interop`.
    exclude: [...configDefaults.exclude, "test/interop/**"],
    globalSetup: ["test/support/servers.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // In CI the counts are printed again as the last line.
    reporters: process.env.CI ? ["default", "json"] : ["default"],
    outputFile: { json: "coverage/tests.json" },
    coverage: {
      provider: "v8",
      include: ["src/core/**/*.ts"],
      reporter: ["text-summary"],
      thresholds: { lines: 95 },
    },
  },
});
