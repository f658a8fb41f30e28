interface Named {
  id: string;
  title: string;
  label: string;
}

/**
 * Sample id → the few words below its thumbnail: its label, or its title where several samples have that label; those
 * that have both in common are numbered.
 */
export function sampleNames(samples: readonly Named[]): Map<string, string> {
  const labels = count(samples.map(labelOf));
  const named = samples.map((sample) => {
    const label = labelOf(sample);
    return labels.get(label) === 1 ? label : sample.title;
  });
  const total = count(named);
  const seen = new Map<string, number>();
  return new Map(
    samples.map(({ id }, i) => {
      const name = named[i] ?? "";
      const number = (seen.get(name) ?? 0) + 1;
      seen.set(name, number);
      return [id, total.get(name) === 1 ? name : `${name} (${number})`];
    }),
  );
}

const labelOf = ({ title, label }: Named) => label || title;

function count(names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}
