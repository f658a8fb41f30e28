import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";

/** A button that asks for image files. */
export function FileButton({
  onFiles,
  label,
  files,
  title,
  class: kind,
  children,
}: {
  onFiles: (files: File[]) => void;
  /** What the button is called, where what is in it does not say so. */
  label?: string;
  /** What the field that it opens is called. */
  files: string;
  title?: string;
  class: string;
  children: ComponentChildren;
}) {
  const picker = useRef<HTMLInputElement>(null);
  return (
    <>
      <button
        type="button"
        class={`sw-button ${kind}`}
        aria-label={label}
        title={title}
        onClick={() => picker.current?.click()}
      >
        {children}
      </button>
      <input
        ref={picker}
        type="file"
        accept="image/*"
        multiple
        hidden
        aria-label={files}
        onChange={(event) => {
          const input = event.currentTarget;
          onFiles([...(input.files ?? [])]);
          // The same file can be chosen again.
          input.value = "";
        }}
      />
    </>
  );
}
