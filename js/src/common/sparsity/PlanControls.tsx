import { useEffect, useRef, useState } from "preact/hooks";
import { usePanel } from "../state";

/** The preset whose layers are the user's own pattern. */
const BY_PATTERN = "pattern";

/** Which layers are pruned, and by which solver. */
export function PlanControls() {
  const panel = usePanel();
  const { presets, preset, pattern, solvers, solver, code } = panel.traits;
  const [draft, setDraft] = useState<string | null>(null);
  // The pattern is being asked for: Python takes its preset only together with a pattern that matches something.
  const [asking, setAsking] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  const shown = asking ? BY_PATTERN : preset.value;
  const chosen = presets.value.find((one) => one.key === shown);

  useEffect(() => setDraft(null), [pattern.value]);
  // Python has taken a selection. A pattern without a match is refused: its field stays, so that it can be mended.
  useEffect(() => setAsking(false), [code.value]);
  useEffect(() => {
    if (asking) field.current?.focus();
  }, [asking]);
  const choose = (key: string) => {
    setAsking(key === BY_PATTERN && preset.value !== BY_PATTERN);
    if (key !== BY_PATTERN) panel.connection.set("preset", key);
  };
  const enter = () => {
    const names = (draft ?? pattern.value).trim();
    setDraft(null);
    if (asking && !names) return setAsking(false);
    if (names !== pattern.value) panel.connection.set("pattern", names);
    if (asking) panel.connection.set("preset", BY_PATTERN);
  };

  return (
    <div class="sw-plan">
      <label class="sw-label" for={panel.id("preset")}>
        layers
      </label>
      <select
        id={panel.id("preset")}
        class="sw-input"
        title={chosen?.description}
        value={shown}
        onChange={(event) => choose(event.currentTarget.value)}
      >
        {!chosen && <option value={shown}>{shown}</option>}
        {presets.value.map((one) => (
          <option key={one.key} value={one.key} title={one.description}>
            {one.title}
          </option>
        ))}
      </select>
      <label class="sw-label" for={panel.id("solver")}>
        solver
      </label>
      <select
        id={panel.id("solver")}
        class="sw-input"
        value={solver.value}
        onChange={(event) => panel.connection.set("solver", event.currentTarget.value)}
      >
        {solvers.value.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
      {shown === BY_PATTERN ? (
        <input
          ref={field}
          class="sw-input sw-pattern"
          type="text"
          autocomplete="off"
          spellcheck={false}
          aria-label="Layer name patterns"
          placeholder="layer4.*, fc"
          title="Names of layers, with * for anything, separated by commas; Enter sets them"
          value={draft ?? pattern.value}
          onInput={(event) => setDraft(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter") enter();
            if (event.key === "Escape") setDraft(null);
          }}
          onBlur={enter}
        />
      ) : (
        <p class="sw-line sw-secondary sw-preset-description" title={chosen?.description}>
          {chosen?.description || "\u00a0"}
        </p>
      )}
    </div>
  );
}
