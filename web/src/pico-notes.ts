/** What the page says about the embedded model; follows what docs/results.md measures. */
export const PICO_NOTES = {
  summary:
    'Pico is a tiny model, trained by this project on drawn pictures only. It does not understand photographs.',
  can: [
    'drawn scenes of emoji and coloured shapes: whether something is there, what colour it is, how many objects',
    'bar charts of two to four bars: which is the tallest, how many',
    'names of things in English and Chinese, what they are used for',
  ],
  cannot: [
    'photographs, faces, documents and anything not drawn like the samples: it will answer, and be wrong',
    'places: it often confuses which of several objects is where',
    'words and numbers, counting many equal things, full descriptions, sums',
    'conversation: it answers each question by itself',
  ],
} as const;

/** Pico learned from single questions; larger models may follow a conversation. */
export const PICO_REMEMBERS_TURNS = false;
