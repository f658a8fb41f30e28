interface Props<K extends string> {
  label: string;
  choices: readonly (readonly [K, string, string?])[];
  chosen: K;
  onChoose(choice: K): void;
}

/** A few choices of which one holds, all in sight. Each is a key, its name and, where it helps, what it means. */
export function Segments<K extends string>({ label, choices, chosen, onChoose }: Props<K>) {
  return (
    <fieldset class="sw-segments" aria-label={label}>
      {choices.map(([key, name, meaning]) => (
        <button
          key={key}
          type="button"
          aria-pressed={key === chosen}
          title={meaning}
          onClick={() => onChoose(key)}
        >
          {name}
        </button>
      ))}
    </fieldset>
  );
}
