import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Bytes } from "../../lib/bytes";
import { sampleNames } from "../../lib/sampleNames";
import { useImageUrl } from "../hooks/useImageUrl";
import { useWholeRows } from "../hooks/useWholeRows";
import { PlusIcon } from "../parts/icons";
import { TileGrid } from "../parts/TileGrid";
import { usePanel } from "../state";
import type { SampleInfo } from "../wire";
import { addFiles } from "./addFiles";
import { FileButton } from "./FileButton";

const NONE = new ArrayBuffer(0);

/** Pixels kept free around the chosen thumbnail, for its outline. */
const EDGE = 6;

function Thumbnail({ sample, name }: { sample: SampleInfo; name: string }) {
  const [trait, place] = sample.thumb;
  const those = usePanel().connection.numbered("thumbs", trait).value as Bytes[] | undefined;
  const url = useImageUrl(those?.[place] ?? NONE);
  return (
    <>
      <span class="sw-tile-image">{url && <img src={url} alt="" draggable={false} />}</span>
      <span class="sw-tile-text">
        <bdi>{name}</bdi>
      </span>
    </>
  );
}

function nameOf(sample: SampleInfo): string {
  if (!sample.label || sample.label === sample.title) return sample.title;
  return `${sample.title} · ${sample.label}`;
}

function AddImages() {
  const panel = usePanel();
  return (
    <FileButton class="sw-quiet" files="Image files to add" onFiles={(files) => void addFiles(panel, files)}>
      <PlusIcon />
      Add image
    </FileButton>
  );
}

/** The samples to choose from, and, where a kernel can read them, the way to bring one's own. */
export function Samples({ fixed = false }: { fixed?: boolean }) {
  const panel = usePanel();
  const samples = panel.traits.samples.value;
  const selected = panel.traits.sample_id.value;
  const scroller = useRef<HTMLDivElement>(null);

  useWholeRows(scroller, samples);
  // A sample chosen elsewhere (Python, another view, just added) comes into sight; the page itself stays where it is.
  // So it does when the list gets another height, unless the user has scrolled it meanwhile.
  useEffect(() => {
    const box = scroller.current;
    const tile = box?.querySelector<HTMLElement>('[aria-checked="true"]');
    if (!box || !tile) return;
    const show = () => {
      const above = tile.offsetTop - box.scrollTop;
      const below = above + tile.offsetHeight - box.clientHeight;
      if (above < EDGE) box.scrollTop += above - EDGE;
      else if (below > -EDGE) box.scrollTop += below + EDGE;
    };
    show();
    let left = box.scrollTop;
    const observer = new ResizeObserver(() => {
      if (Math.abs(box.scrollTop - left) > 1) return;
      show();
      left = box.scrollTop;
    });
    observer.observe(box);
    return () => observer.disconnect();
  }, [selected, samples]);

  const names = useMemo(() => sampleNames(samples), [samples]);
  const current = samples.find((sample) => sample.id === selected);
  return (
    <section class="sw-samples" aria-labelledby={panel.id("samples")}>
      <div class="sw-heading">
        <h3 id={panel.id("samples")}>Sample</h3>
        {!fixed && <AddImages />}
      </div>
      <div class="sw-scroll" ref={scroller}>
        <TileGrid
          label="Sample"
          class="sw-sample-grid"
          items={samples}
          keyOf={(sample) => sample.id}
          selected={selected}
          titleOf={nameOf}
          onSelect={(sample) => panel.connection.setSoon("sample_id", sample.id)}
        >
          {(sample) => <Thumbnail sample={sample} name={names.get(sample.id) ?? ""} />}
        </TileGrid>
      </div>
      <p class="sw-line sw-secondary" title={current && nameOf(current)}>
        <bdi>{current ? nameOf(current) : "\u00a0"}</bdi>
      </p>
    </section>
  );
}
