// A facet's mark: a shape and a colour. Either alone tells facets apart.

const shapes = [
  <circle key="0" cx="8" cy="8" r="5" />,
  <rect key="1" x="3.4" y="3.4" width="9.2" height="9.2" />,
  <path key="2" d="M8 2.2 14 13H2Z" />,
  <path key="3" d="M8 1.6 14.4 8 8 14.4 1.6 8Z" />,
  <path key="4" d="M6 2h4v4h4v4h-4v4H6v-4H2V6h4Z" />,
  <path key="5" d="M14 3 8 13.8 2 3Z" />,
  <path key="6" d="M8 1.8 14 6.2 11.8 13.4H4.2L2 6.2Z" />,
];
const names = ["circle", "square", "triangle", "diamond", "cross", "wedge", "pentagon"];

export const shapeName = (facet: number) => names[facet % names.length] ?? "";

export function Mark({ facet }: { facet: number }) {
  return (
    <svg
      class="sw-mark-shape"
      data-facet={facet % shapes.length}
      viewBox="0 0 16 16"
      width="16"
      height="16"
      aria-hidden="true"
      focusable="false"
    >
      {shapes[facet % shapes.length]}
    </svg>
  );
}
