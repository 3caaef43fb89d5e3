/** Drawn for this app on a grid of 24, lines of 1.8. */
const PATHS = {
  menu: 'M4 7h16M4 12h16M4 17h16',
  plus: 'M12 5v14M5 12h14',
  search: 'M11 5a6 6 0 1 1 0 12a6 6 0 0 1 0-12M15.500 15.500L20 20',
  more: 'M6 12h.01M12 12h.01M18 12h.01',
  picture:
    'M5 5h14a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1M4 16l5-5 4 4 3-3 4 4M15.500 9h.01',
  camera: 'M4 8h3.500L9 6h6l1.500 2H20v10H4zM12 10a3 3 0 1 1 0 6a3 3 0 0 1 0-6',
  send: 'M12 19V5M6 11l6-6 6 6',
  stop: 'M8 8h8v8H8z',
  close: 'M7 7l10 10M17 7L7 17',
  copy: 'M9 9h10v11H9zM15 9V5H5v10h4',
  check: 'M5 12.500l4.500 4.500L19 7.500',
  edit: 'M5 19l1-4L16 5l3 3L9 18zM13.500 7.500l3 3',
  again: 'M19 12a7 7 0 1 1-2-4.900M17.500 3.500v4h-4',
  forward: 'M5 6l6 6-6 6M13 6l6 6-6 6',
  left: 'M14 6l-6 6 6 6',
  right: 'M10 6l6 6-6 6',
  down: 'M6 10l6 6 6-6',
  save: 'M12 4v11M7 11l5 5 5-5M5 20h14',
  open: 'M12 16V5M7 9l5-5 5 5M5 20h14',
  trash: 'M5 7h14M10 7V4.500h4V7M7 7l1 13h8l1-13',
  settings: 'M5 7h7M16 7h3M5 17h3M12 17h7M14 5v4M10 15v4',
  models: 'M12 4l8 4-8 4-8-4zM4 12l8 4 8-4M4 16l8 4 8-4',
  keyboard: 'M4 7h16v10H4zM8 14h8M8 10.500h.01M12 10.500h.01M16 10.500h.01',
  shield: 'M12 4l7 3v5c0 4-3 7-7 8.500C8 19 5 16 5 12V7zM9 12l2.200 2.200L15 10',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
