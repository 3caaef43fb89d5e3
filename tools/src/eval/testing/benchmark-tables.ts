import sharp from 'sharp';
import { tsvLine } from '../../data/index.ts';

/** A data set's layout in small, with what a model is made to say. */
export interface SmallBenchmark {
  readonly name: string;
  readonly tsv: string;
  /** In the order of the rows. */
  readonly predictions: readonly string[];
}

async function drawPicture(red: number): Promise<string> {
  const background = { r: red, g: 120, b: 255 - red };
  const png = await sharp({ create: { width: 40, height: 30, channels: 3, background } })
    .png()
    .toBuffer();
  return png.toString('base64');
}

/** The last column of `rows` is the prediction. */
function small(
  name: string,
  columns: readonly string[],
  rows: readonly (readonly string[])[],
): SmallBenchmark {
  return {
    name,
    tsv: [columns, ...rows.map((row) => row.slice(0, -1))].map(tsvLine).join(''),
    predictions: rows.map((row) => row.at(-1)!),
  };
}

/** Each of the paper's data sets; the same pictures and words always. */
export async function smallBenchmarks(): Promise<SmallBenchmark[]> {
  const [a, b] = [await drawPicture(20), await drawPicture(200)];
  const choices = ['A', 'B', 'C', 'D'];
  const rotations = (
    index: number,
    question: string,
    texts: string[],
    l2: string,
    category: string,
    said: string[],
  ) =>
    said.map((prediction, turn) => {
      const turned = texts.map((_, i) => texts[(i + turn) % texts.length]);
      const answer = choices[turned.indexOf(texts[0])];
      const picture = turn === 0 ? a : `${index}`;
      const options = choices.map((_, i) => turned[i] ?? '');
      return [
        `${index + turn * 1e6}`,
        picture,
        question,
        '',
        ...options,
        answer,
        category,
        l2,
        'dev',
        prediction,
      ];
    });
  const mmbench = [
    'index',
    'image',
    'question',
    'hint',
    ...choices,
    'answer',
    'category',
    'l2-category',
    'split',
  ];
  return [
    small('MMBench_DEV_EN_V11', mmbench, [
      // All rotations right: by letter, by sentence, by text, by text.
      ...rotations(3, 'Which animal?', ['cat', 'dog', 'cow', 'pig'], 'coarse_perception', 'image_scene', [
        'A',
        'The answer is D.',
        'a cat',
        'cat',
      ]),
      // One rotation wrong.
      ...rotations(5, 'Which colour?', ['red', 'blue'], 'attribute_reasoning', 'physical', ['A', 'A']),
      // One rotation says nothing.
      ...rotations(8, 'Which shape?', ['star', 'ring', 'box'], 'coarse_perception', 'image_style', [
        'A',
        'C',
        '',
      ]),
      ...rotations(9, 'Which one?', ['left', 'right'], 'coarse_perception', 'image_style', ['A', 'B']),
    ]),
    small('MMBench_DEV_CN_V11', mmbench, [
      ...rotations(1, '图中是什么动物？', ['猫', '狗', '牛', '猪'], 'coarse_perception', '场景', [
        'A',
        '是猫',
        'C. 猫',
        '答案是 B 猫',
      ]),
      ...rotations(2, '图中是什么颜色？', ['红色', '蓝色'], 'logic_reasoning', '颜色', [
        '红色',
        '红色和蓝色',
      ]),
    ]),
    small(
      'HallusionBench',
      ['index', 'image', 'question', 'answer', 'category', 'l2-category'],
      [
        // Set 0: two figures, two questions. Figure 1's second answer is wrong.
        ['val_VD_chart_0_1_0', a, 'Is the first bar taller?', 'Yes', 'VD', 'chart', 'Yes'],
        [
          'val_VD_chart_0_1_1',
          'val_VD_chart_0_1_0',
          'Is the second bar taller?',
          'No',
          'VD',
          'chart',
          'Yes.',
        ],
        ['val_VD_chart_0_2_0', b, 'Is the first bar taller now?', 'No', 'VD', 'chart', 'No, it is not'],
        ['val_VD_chart_0_2_1', b, 'Is the second bar taller now?', 'Yes', 'VD', 'chart', 'yes'],
        // Set 0 of another kind is not the same set.
        ['val_VS_map_0_1_0', b, 'Is it north?', 'No', 'VS', 'map', 'NO!'],
        ['val_VS_map_0_1_1', b, 'Is it south?', 'Yes', 'VS', 'map', 'I cannot tell'],
        // Without a picture: not asked.
        ['val_VS_map_0_0_0', '', 'Is it east?', 'Yes', 'VS', 'map', 'not asked'],
      ],
    ),
    small(
      'OCRBench',
      ['index', 'image', 'question', 'answer', 'category'],
      [
        ['0', a, 'What is written?', "['CENTRE']", 'Regular Text Recognition', 'the Centre'],
        ['1', a, 'What is written here?', "['exit', 'way out']", 'Artistic Text Recognition', 'Way Out!'],
        ['2', '0', 'Which digits?', "['1234']", 'Digit String Recognition', '123'],
        ['3', b, 'What is the total?', "['$5.00']", 'Key Information Extraction', 'It is $5.00.'],
        ['4', b, 'Who signed?', "['Ann\\nLee']", 'Doc-oriented VQA', 'ann lee'],
        ['5', b, 'Which shop?', "['Bakery']", 'Scene Text-centric VQA', 'butcher'],
        // Spaces do not count in formulae, case does.
        [
          '6',
          b,
          'Write the formula in LaTeX.',
          "['\\\\frac { a } { B }']",
          'Handwritten Mathematical Expression Recognition',
          '\\frac{a}{B} = 1',
        ],
        ['7', b, 'And this one?', "['x ^ A']", 'Handwritten Mathematical Expression Recognition', 'x^a'],
        // An empty answer comes back from the table as "nan".
        ['8', b, 'Which name?', "['NaN']", 'Irregular Text Recognition', ''],
      ],
    ),
    small(
      'MMMU_DEV_VAL',
      ['index', 'image', 'question', ...choices, 'answer', 'category', 'l2-category', 'split'],
      [
        ['dev_1', a, 'See <image 1>: which?', 'one', 'two', 'three', 'four', 'B', 'Art', 'Arts', 'dev', 'B'],
        [
          'validation_1',
          `['${a}', '${b}']`,
          'Between <image 1> and <image 2>?',
          'x',
          'y',
          'None',
          'z',
          'D',
          'Art',
          'Arts',
          'validation',
          'D',
        ],
        [
          'validation_2',
          b,
          'Which value?',
          '',
          '',
          '',
          '',
          '12.5',
          'Physics',
          'Science',
          'validation',
          'It is 12.5',
        ],
        [
          'validation_3',
          b,
          'Which other value?',
          '',
          '',
          '',
          '',
          '7',
          'Physics',
          'Science',
          'validation',
          '8',
        ],
        [
          'validation_4',
          b,
          'Which list?',
          '',
          '',
          '',
          '',
          "['1/20', '0.05']",
          'Physics',
          'Science',
          'validation',
          '1/20',
        ],
        ['validation_5', b, 'Which way?', 'up', 'down', '', '', 'A', 'Art', 'Arts', 'validation', 'B'],
      ],
    ),
    ...['MMStar', 'AI2D_TEST', 'SEEDBench_IMG', 'ScienceQA_VAL'].map((name) =>
      small(
        name,
        [
          'index',
          'image',
          'question',
          'hint',
          ...choices,
          'answer',
          'category',
          'l2-category',
          ...(name === 'ScienceQA_VAL' ? ['split'] : []),
        ],
        [
          [
            '11',
            a,
            'What is it?',
            'Look well.',
            'cat',
            'dog',
            'cow',
            'pig',
            'A',
            'coarse',
            'image',
            'A. cat',
          ],
          ['12', '11', 'What is it not?', '', 'cat', 'dog', 'cow', '', 'B', 'fine', 'image', 'cat or dog'],
          // "None" is missing to pandas: three options, and the text names one of them.
          ['13', b, 'How many?', '', '1', 'None', 'three', '12', 'C', 'fine', 'count', 'three'],
          ['14', b, 'How often?', '', 'twice', 'never', '', '', 'B', 'fine', 'count', 'never, I think'],
        ].map((row) => (name === 'ScienceQA_VAL' ? [...row.slice(0, -1), 'val', row.at(-1)!] : row)),
      ),
    ),
  ];
}
