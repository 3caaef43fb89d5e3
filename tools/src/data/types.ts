import type { ShapeName } from './labels.ts';

/** What a picture is made of. 'text' has none; 'mosaic' and 'glyphs' train the vision encoder alone. */
export type SceneType = 'objects' | 'counting' | 'word' | 'chart' | 'text' | 'mosaic' | 'glyphs';

export type QuestionType =
  'describe' | 'what' | 'count' | 'colour' | 'where' | 'at' | 'exists' | 'read' | 'bar' | 'choice' | 'fact';

/** Which pictures and questions to draw, in proportion; what is absent is never drawn. */
export interface Mix {
  readonly scenes: Readonly<Partial<Record<SceneType, number>>>;
  readonly questions: Readonly<Partial<Record<QuestionType, number>>>;
  /** Only the first so many emoji kinds of `curriculumOrder`. Default: all. */
  readonly kinds?: number;
  /** Share of objects that are coloured shapes instead of emoji. Default 0.35. */
  readonly shapes?: number;
  /** Share of questions asked carelessly (no capitals, no mark, American spelling). Default 0.06. */
  readonly casual?: number;
  /** Questions per picture, at most. Default 6 (5 or 6 are asked if the scene has so many). */
  readonly questionsPerPicture?: number;
}

/** Lengths are fractions of the picture's side; (x, y) is the centre, y downwards. */
export interface Placement {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

interface ObjectBase extends Placement {
  /** Patch class (labels.ts). */
  readonly kind: number;
  /** Index into `colours`; -1 for emoji. */
  readonly colour: number;
  /** 0–8, row by row. */
  readonly place: number;
  /** What it is called: 'cat', 'red star', 'A', 'red bar'. */
  readonly name: string;
}

export interface EmojiObject extends ObjectBase {
  readonly family: 'emoji';
  /** Index into `emojiKinds`. */
  readonly emoji: number;
  /** Radians. */
  readonly rotation: number;
}

export interface ShapeObject extends ObjectBase {
  readonly family: 'shape';
  readonly shape: ShapeName;
  readonly rotation: number;
}

export interface GlyphObject extends ObjectBase {
  readonly family: 'glyph';
  readonly font: number;
  /** Font size; width and height are those of the ink. */
  readonly fontSize: number;
}

export interface BarObject extends ObjectBase {
  readonly family: 'bar';
  /** The letter under it. */
  readonly label: string;
}

export type SceneObject = EmojiObject | ShapeObject | GlyphObject | BarObject;

export interface Ground {
  readonly from: readonly [number, number, number];
  readonly to: readonly [number, number, number];
  /** Direction of the gradient, radians. */
  readonly angle: number;
}

export interface Scene {
  readonly type: Exclude<SceneType, 'text'>;
  readonly ground: Ground;
  readonly objects: readonly SceneObject[];
  /** The string written in a word scene. */
  readonly word?: { readonly text: string; readonly colour: number; readonly place: number };
  /** What the picture shows, apart from jitter and ground: equal contents, equal questions. */
  readonly content: string;
}

export interface Question {
  readonly type: QuestionType;
  /** Finer category for reports, e.g. 'zero' of 'count'. */
  readonly subtype: string;
  /** Everything the model is asked, options and instruction included; without the picture placeholder. */
  readonly question: string;
  /** The question alone. */
  readonly stem: string;
  readonly answer: string;
  /** Options A, B, C, D of a multiple-choice question. */
  readonly choices?: readonly string[];
}

/** An object as the trainer sees it; the box is in pixels, right and bottom exclusive. */
export interface LabelledObject {
  readonly family: SceneObject['family'];
  readonly name: string;
  readonly kind: number;
  readonly colour: number;
  readonly place: number;
  readonly box: readonly [left: number, top: number, right: number, bottom: number];
}

export interface TrainingSample {
  readonly type: SceneType;
  /** [size, size, 3], row by row, RGB; empty for text-only samples. */
  readonly rgb: Uint8Array;
  /** Side in pixels; 0 for text-only samples. */
  readonly size: number;
  readonly objects: readonly LabelledObject[];
  /** [size/14, size/14] object class of each patch, row by row. */
  readonly patchKinds: Uint8Array;
  /** Colour class of each patch: 0 none, 1… colours, -1 not asked. */
  readonly patchColours: Int8Array;
  /** Index into `objects` of what each patch shows, -1 = ground. */
  readonly patchObjects: Int8Array;
  readonly questions: readonly Question[];
  /** Identity of the content; equal keys mean the same picture up to jitter and ground. */
  readonly key: string;
}
