import { createCanvas } from '@napi-rs/canvas';
import { glyphMetrics, textFontFamilies } from './fonts.ts';
import { colours } from './labels.ts';
import { emojiSprite, traceShape } from './sprites.ts';
import type { GlyphObject, Ground, Scene, SceneObject } from './types.ts';

export interface Painter {
  /** [size, size, 3] RGB bytes. */
  paint(scene: Scene): Uint8Array;
}

function css(rgb: readonly [number, number, number]): string {
  return `rgb(${rgb[0]},${rgb[1]},${rgb[2]})`;
}

/** Draws scenes at a given size; one canvas and the rendered emoji are kept for all of them. */
export function createPainter(size: number): Painter {
  const canvas = createCanvas(size, size);
  const context = canvas.getContext('2d');
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = 'high';
  const fonts = textFontFamilies();
  // The largest emoji is half a picture wide.
  const spriteSize = Math.max(128, Math.ceil(size / 2));

  function fillGround({ from, to, angle }: Ground): void {
    if (from === to) {
      context.fillStyle = css(from);
    } else {
      const half = size / 2;
      const [dx, dy] = [Math.cos(angle) * half, Math.sin(angle) * half];
      const gradient = context.createLinearGradient(half - dx, half - dy, half + dx, half + dy);
      gradient.addColorStop(0, css(from));
      gradient.addColorStop(1, css(to));
      context.fillStyle = gradient;
    }
    context.fillRect(0, 0, size, size);
  }

  function drawGlyph(object: GlyphObject): void {
    const { left, ascent } = glyphMetrics(object.font, object.name);
    context.font = `${object.fontSize * size}px "${fonts[object.font]}"`;
    context.fillStyle = css(colours[object.colour].rgb);
    // The box is the ink's: the pen starts where its left and top say.
    context.fillText(
      object.name,
      (object.x - object.width / 2 - left * object.fontSize) * size,
      (object.y - object.height / 2 + ascent * object.fontSize) * size,
    );
  }

  function drawObject(object: SceneObject): void {
    const [x, y] = [object.x * size, object.y * size];
    const [width, height] = [object.width * size, object.height * size];
    switch (object.family) {
      case 'emoji': {
        const { levels } = emojiSprite(object.emoji, spriteSize);
        const level = levels.findLast((candidate) => candidate.width >= width) ?? levels[0];
        const [cos, sin] = [Math.cos(object.rotation), Math.sin(object.rotation)];
        context.setTransform(cos, sin, -sin, cos, x, y);
        context.drawImage(level, -width / 2, -height / 2, width, height);
        context.resetTransform();
        break;
      }
      case 'shape': {
        const [cos, sin] = [Math.cos(object.rotation), Math.sin(object.rotation)];
        context.setTransform(cos, sin, -sin, cos, x, y);
        traceShape(context, object.shape, width / 2);
        context.fillStyle = css(colours[object.colour].rgb);
        context.fill();
        context.resetTransform();
        break;
      }
      case 'bar':
        context.fillStyle = css(colours[object.colour].rgb);
        context.fillRect(x - width / 2, y - height / 2, width, height);
        break;
      case 'glyph':
        drawGlyph(object);
        break;
    }
  }

  return {
    paint(scene) {
      fillGround(scene.ground);
      for (const object of scene.objects) drawObject(object);
      const rgba = canvas.data();
      const rgb = new Uint8Array(size * size * 3);
      for (let from = 0, to = 0; to < rgb.length; from += 4) {
        rgb[to++] = rgba[from];
        rgb[to++] = rgba[from + 1];
        rgb[to++] = rgba[from + 2];
      }
      return rgb;
    },
  };
}
