import { emojiKinds } from '../emoji.ts';
import { colours, shapeNames } from '../labels.ts';
import type { KindChoice, Thing } from '../layout.ts';
import { emojiThing, shapeThing } from '../layout.ts';
import type { Random } from '../random.ts';
import type { Scene, SceneObject } from '../types.ts';

/** What a question may be asked about: the scene and what could be in it. */
export interface Pictured {
  readonly scene: Scene;
  /** Emoji and shapes, in reading order; the characters of a word are not among them. */
  readonly things: readonly SceneObject[];
  readonly choice: KindChoice;
}

export function pictured(scene: Scene, choice: KindChoice): Pictured {
  return { scene, choice, things: scene.objects.filter((o) => o.family === 'emoji' || o.family === 'shape') };
}

export function thingOf(object: SceneObject): Thing {
  if (object.family === 'emoji') return emojiThing(object.emoji);
  if (object.family === 'shape') return shapeThing(shapeNames.indexOf(object.shape), object.colour);
  throw new TypeError(`${object.family} is not a thing`);
}

export function pluralOf(thing: Thing): string {
  return thing.family === 'emoji' ? emojiKinds[thing.emoji].plural : `${thing.name}s`;
}

/** Things by name with how often they occur, in reading order. */
export function tally(things: readonly SceneObject[]): Map<string, SceneObject[]> {
  const counts = new Map<string, SceneObject[]>();
  for (const thing of things) counts.set(thing.name, [...(counts.get(thing.name) ?? []), thing]);
  return counts;
}

/** Things that are the only one of their name. */
export function singles(about: Pictured): SceneObject[] {
  return [...tally(about.things).values()].filter((group) => group.length === 1).map(([thing]) => thing);
}

/** Shapes of which there is only one, whatever the colour: 'the star' means one thing. */
export function singleShapes(about: Pictured): (SceneObject & { family: 'shape' })[] {
  const shapes = about.things.filter((thing) => thing.family === 'shape');
  return shapes.filter((shape) => shapes.filter((other) => other.shape === shape.shape).length === 1);
}

/** Calls `draw` until it gives a thing that is not in the picture nor in `taken`. */
export function absentThing(
  about: Pictured,
  draw: () => Thing,
  taken: readonly string[] = [],
): Thing | undefined {
  const used = new Set([...about.things.map((thing) => thing.name), ...taken]);
  for (let attempt = 0; attempt < 20; attempt++) {
    const thing = draw();
    if (!used.has(thing.name)) return thing;
  }
  return undefined;
}

/** A thing of the same family (emoji or shape), so that the family alone gives nothing away. */
export function sameFamily(random: Random, thing: Thing, choice: KindChoice): Thing {
  return thing.family === 'emoji'
    ? emojiThing(random.pick(choice.emoji))
    : shapeThing(random.int(shapeNames.length), random.int(colours.length));
}
