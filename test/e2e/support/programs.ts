/** Clients in C for what no ordinary program does at connect(); compiled when a test first needs them. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";

const SOURCES = join(import.meta.dirname, "../programs");
const BUILT = join(import.meta.dirname, "../../../build/test");

/** The path of programs/NAME.c, compiled. */
export function program(
  name: "barrage" | "contort" | "dial" | "flood" | "hand-over" | "hold" | "sink",
): string {
  const built = join(BUILT, name);
  const newest = Math.max(...readdirSync(SOURCES).map((file) => statSync(join(SOURCES, file)).mtimeMs));
  if (existsSync(built) && statSync(built).mtimeMs > newest) return built;
  mkdirSync(BUILT, { recursive: true });
  const fresh = `${built}.${process.pid}`;
  const flags = ["-O2", "-Wall", "-Wextra", "-Werror"];
  execFileSync("gcc", [...flags, join(SOURCES, `${name}.c`), "-o", fresh], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  renameSync(fresh, built);
  return built;
}
