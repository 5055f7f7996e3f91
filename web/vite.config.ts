import { defineConfig } from "vitest/config";

// vks/door.py gives join/index.html under /join/ (and display/ and identity/ likewise; the centre gives look/index.html), and what they
// need under /assets/, each with its content's hash in its name.
export default defineConfig({
  base: "/",
  publicDir: false,
  build: {
    outDir: "../vks/static",
    emptyOutDir: true,
    assetsInlineLimit: 0, // data: addresses are not allowed to be scripts, nor fonts
    modulePreload: false,
    target: ["es2021", "safari15", "chrome94", "firefox102"], // phones of five years ago
    rollupOptions: { input: { join: "join/index.html", display: "display/index.html", identity: "identity/index.html", look: "look/index.html" } },
  },
  test: { include: ["test/**/*.test.ts"] },
});
