/** PODGATE_SEED repeats what fast-check made up; it names its seed where a property fails. */
if (process.env.PODGATE_SEED !== undefined) {
  const { configureGlobal } = await import("fast-check");
  configureGlobal({ seed: Number(process.env.PODGATE_SEED) });
}
