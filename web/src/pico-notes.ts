import type { Language } from './i18n/index.ts';

/** What the page says about the embedded model; follows what docs/results.md measures. */
interface PicoNotes {
  readonly summary: string;
  readonly can: readonly string[];
  readonly cannot: readonly string[];
}

export const PICO_NOTES: Readonly<Record<Language, PicoNotes>> = {
  en: {
    summary:
      'Pico is a tiny model, trained by this project on drawn pictures only. It does not understand photographs.',
    can: [
      'drawn scenes of emoji and coloured shapes: what is there, where it is, what colour it is, how many (up to three or so)',
      'bar charts of two to four bars: the tallest, the shortest, the bar with a letter, how many, which colours',
      'names of things in English and Chinese, what they are used for',
    ],
    cannot: [
      'photographs, faces, documents and anything not drawn like the samples: it will answer, and be wrong',
      'words and numbers, counting many equal things, full descriptions, sums (half of them right)',
      'conversation: it answers each question by itself',
    ],
  },
  zh: {
    summary: 'Pico 是一个很小的模型，由本项目仅用绘制的图片训练。它看不懂照片。请用英文提问。',
    can: [
      '由表情符号和彩色图形绘成的场景：有什么、在哪里、是什么颜色、有几个（约三个以内）',
      '两到四根柱子的柱状图：哪根最高、哪根最矮、某个字母下的柱子、有几根、各是什么颜色',
      '事物的中英文名称及其用途',
    ],
    cannot: [
      '照片、人脸、文档以及任何与示例画法不同的图片：它会回答，但会答错',
      '文字和数字、数许多相同的东西、完整的描述、算术（约一半正确）',
      '连续对话：它独立回答每个问题',
    ],
  },
};

/** Pico learned from single questions; larger models may follow a conversation. */
export const PICO_REMEMBERS_TURNS = false;
