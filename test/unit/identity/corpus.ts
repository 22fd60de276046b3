/** The cases of an identity family: from $PODGATE_CORPUS, else from beside the checkout. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const given = process.env.PODGATE_CORPUS;
export const corpus = given ?? join(import.meta.dirname, "../../../../shared/corpus");
/** A corpus that was named must be there; otherwise it is only there for those who have it. */
export const hasCorpus = given !== undefined || existsSync(corpus);

export interface CorpusCase<Expected> {
  /** `family/case`. */
  readonly id: string;
  readonly title: string;
  readonly expected: Expected;
  /** Undefined: the case has no such file. */
  readonly file: (path: string) => string | undefined;
}

export function corpusCases<Expected>(family: string): CorpusCase<Expected>[] {
  if (!hasCorpus) return [];
  const folder = join(corpus, "identity", family);
  return readdirSync(folder).map((name) => {
    const file = (path: string) => {
      const full = join(folder, name, path);
      return existsSync(full) ? readFileSync(full, "utf8") : undefined;
    };
    const { title } = JSON.parse(file("meta.json") ?? "{}") as { title: string };
    return {
      id: `${family}/${name}`,
      title,
      expected: JSON.parse(file("expected.json") ?? "") as Expected,
      file,
    };
  });
}
