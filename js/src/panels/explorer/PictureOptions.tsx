import { useExplorer } from "../../common/explorer/state";
import { Popover } from "../../common/parts/Popover";
import { Segments } from "../../common/parts/Segments";

const images: [string, string, string][] = [
  ["fourier", "Fourier", "Lucent's: every frequency is free"],
  ["maco", "MACO", "The samples' own mix of frequencies; only where things lie is free"],
];
const counts: [string, string, string][] = [
  ["1", "1", "One picture of the neuron"],
  ["4", "4", "Four pictures that are pushed apart, in four times the time"],
];

/** What is said of MACO: where its look comes from, and what that gives away. */
export function aboutMaco(samples: number): string {
  const from =
    "Frequencies as strong as in the samples: larger shapes and natural colours, no fine stripes; the neuron is excited less.";
  const alone = "There is one sample only, and its colours show in the pictures, pruned or not: add others.";
  return samples === 1 ? `${from} ${alone}` : from;
}

/** How the pictures are made: what is optimised, and how many of a neuron. */
export function PictureOptions() {
  const panel = useExplorer();
  const { image, count, samples } = panel.traits;
  const name = images.find(([key]) => key === image.value)?.[1] ?? image.value;
  const many = count.value === 1 ? "" : ` × ${count.value}`;
  return (
    <Popover
      label={`Pictures: ${name}${many}`}
      title="How the pictures are made"
      class="sw-opens"
      button={`${name}${many}`}
    >
      {() => (
        <div class="sw-picture-options">
          <span>Image</span>
          <Segments
            label="Image"
            choices={images}
            chosen={image.value}
            onChoose={(choice) => panel.connection.set("image", choice)}
          />
          <span>Pictures</span>
          <Segments
            label="Pictures of the neuron"
            choices={counts}
            chosen={String(count.value)}
            onChoose={(choice) => panel.connection.set("count", Number(choice))}
          />
          {image.value === "maco" && <p class="sw-secondary">{aboutMaco(samples.value.length)}</p>}
          {count.value > 1 && (
            <p class="sw-secondary">
              Pushed apart, so that each shows something else. Takes {count.value} times as long.
            </p>
          )}
        </div>
      )}
    </Popover>
  );
}
