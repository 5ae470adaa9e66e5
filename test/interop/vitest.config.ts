import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/interop/**/*.test.ts"],
    reporters: process.env.CI ? ["verbose", "json"] : ["verbose"],
    outputFile: { json: "coverage/interop.json" },
  },
});
