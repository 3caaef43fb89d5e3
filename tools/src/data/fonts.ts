import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createCanvas, GlobalFonts } from '@napi-rs/canvas';
import { SpeedqError } from '@speedq/format';

const require = createRequire(import.meta.url);

/** `root`: the package.json of the package, found by Node wherever npm has put it. */
function registered(root: string, file: string, alias: string): string {
  const path = join(dirname(root), file);
  if (!GlobalFonts.registerFromPath(path, alias)) {
    throw new SpeedqError('internal', `The font ${path} could not be loaded. Run npm install again.`);
  }
  return alias;
}

let emojiFont: string | undefined;
let textFonts: readonly string[] | undefined;

/** Family name of Noto Color Emoji, loaded from the npm package: nothing depends on the system's fonts. */
export function emojiFontFamily(): string {
  emojiFont ??= registered(
    require.resolve('@expo-google-fonts/noto-color-emoji/package.json'),
    '400Regular/NotoColorEmoji_400Regular.ttf',
    'speedq emoji',
  );
  return emojiFont;
}

/** Family names of the fonts words are written in. */
export function textFontFamilies(): readonly string[] {
  textFonts ??= ['DejaVuSans-Bold', 'DejaVuSerif-Bold', 'DejaVuSansMono-Bold'].map((name) =>
    registered(require.resolve('dejavu-fonts-ttf/package.json'), `ttf/${name}.ttf`, `speedq ${name}`),
  );
  return textFonts;
}

export const textFontCount = 3;

/** Extents of a glyph in units of the font size; ink is relative to the pen position on the baseline. */
export interface GlyphMetrics {
  readonly advance: number;
  readonly left: number;
  readonly right: number;
  readonly ascent: number;
  readonly descent: number;
}

const metricsCache = new Map<string, GlyphMetrics>();

export function glyphMetrics(font: number, glyph: string): GlyphMetrics {
  const key = `${font}${glyph}`;
  let metrics = metricsCache.get(key);
  if (metrics === undefined) {
    const em = 200;
    const context = createCanvas(4, 4).getContext('2d');
    context.font = `${em}px "${textFontFamilies()[font]}"`;
    const measured = context.measureText(glyph);
    metrics = {
      advance: measured.width / em,
      left: -measured.actualBoundingBoxLeft / em,
      right: measured.actualBoundingBoxRight / em,
      ascent: measured.actualBoundingBoxAscent / em,
      descent: measured.actualBoundingBoxDescent / em,
    };
    metricsCache.set(key, metrics);
  }
  return metrics;
}
