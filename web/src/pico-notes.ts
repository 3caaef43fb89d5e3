/** What the page says about the embedded model; follows what docs/results.md measures. */
export const PICO_NOTES = {
  summary:
    'Pico is a tiny model, trained by this project on drawn pictures only. It does not understand photographs.',
  can: [
    'scenes of one to four emoji or coloured shapes: what is there, how many, which colour, what is where',
    'bar charts of two to four bars',
    'names of things in English and Chinese, what they are used for, small sums',
  ],
  cannot: [
    'photographs, faces, documents and anything not drawn like the samples: it will answer, and be wrong',
    'longer words and numbers: it often misreads letters',
    'conversation: it answers each question by itself',
  ],
} as const;

/** Pico learned from single questions; larger models may follow a conversation. */
export const PICO_REMEMBERS_TURNS = false;
