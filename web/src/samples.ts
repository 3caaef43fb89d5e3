/** Pictures drawn by the project's own generator (test split), in public/samples. */
export interface Sample {
  readonly file: string;
  /** For people who do not see the picture. */
  readonly description: string;
  readonly questions: readonly string[];
}

export const SAMPLES: readonly Sample[] = [
  {
    file: 'farm.png',
    description:
      'A cow at the top right, a lemon in the centre, a banana at the bottom centre, a pig at the bottom right',
    questions: ['Where is the cow?', 'What is at the centre?', 'Is there a pig?'],
  },
  {
    file: 'fox.png',
    description: 'A moon at the top left; an avocado, a purple star and a fox along the bottom',
    questions: ['What colour is the star?', 'Where is the fox?', 'What is at the top left?'],
  },
  {
    file: 'octopuses.png',
    description: 'Five octopuses and a sunflower',
    questions: ['Where is the sunflower?', 'How many sunflowers are there?', 'Is there a fish?'],
  },
  {
    file: 'chart.png',
    description: 'A bar chart: T red and tall, J orange and short, K purple and tallest',
    questions: ['What colour is the tallest bar?', 'What colour is bar J?', 'How many bars are there?'],
  },
];

/** Asked without a picture. */
export const TEXT_QUESTIONS: readonly string[] = [
  'What is the Chinese word for cat?',
  'What colour is a lemon usually?',
  'What does a cow say?',
];
