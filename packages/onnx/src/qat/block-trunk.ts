import { parameterInventory } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { hostMemory } from '../memory.ts';
import type { Memory } from '../memory.ts';
import { Session } from '../session.ts';
import type { Feed, OrtModule } from '../session.ts';
import { feedParameters, parameterShapes } from './graph-parameters.ts';
import type { ParameterValues } from '../parameters.ts';
import type { ParameterShapes } from './graph-parameters.ts';
import type { TrunkOptions } from './options.ts';
import { entryStretch, gradientName, layerStretch } from './trunk-graphs.ts';
import type { Stretch } from './trunk-graphs.ts';

interface Compiled {
  readonly forward: Session;
  readonly backward?: Session;
  readonly trained: readonly string[];
}

/** One step of the walk: a compiled stretch and how its parameter names become this layer's. */
interface Place {
  readonly compiled: Compiled;
  readonly rename: (name: string) => string;
}

/**
 * Projector, embedding and decoder layers, session by session. Layers whose linears have the same schemes
 * and train the same parameters share their sessions. Between forward and backward only the layers' inputs
 * are kept.
 */
export class BlockTrunk {
  private feeds = new Map<string, Feed>();

  private constructor(
    private readonly shapes: ParameterShapes,
    private readonly memory: Memory,
    /** Input of each layer, and the last one's output. */
    private readonly boundaries: readonly Feed[],
    /** Gradients of layers' inputs, in turn. */
    private readonly flowing: readonly Feed[],
    private readonly places: readonly Place[],
    private readonly sessions: readonly Session[],
    /** The first place, from the entry on, whose backward is needed. */
    private readonly first: number,
  ) {}

  static async create(
    ort: OrtModule,
    config: InternVLConfig,
    options: TrunkOptions,
    trains: (name: string) => boolean,
  ): Promise<BlockTrunk> {
    const shapes = parameterShapes(config, options);
    const sessions: Session[] = [];
    const anyTrains = parameterInventory(config).some(({ name }) => trains(name));
    const compile = async ({ forward, backward, trained }: Stretch): Promise<Compiled> => {
      const compiled = {
        forward: await Session.create(ort, forward, options),
        backward: backward && anyTrains ? await Session.create(ort, backward, options) : undefined,
        trained,
      };
      sessions.push(compiled.forward, ...(compiled.backward ? [compiled.backward] : []));
      return compiled;
    };
    const entry = await compile(entryStretch(config, shapes, options, trains));
    const places: Place[] = [{ compiled: entry, rename: (name) => name }];
    const byShape = new Map<string, { layer: number; compiled: Compiled }>();
    for (let layer = 0; layer < config.language.numLayers; layer++) {
      const key = layerKey(config, options, trains, layer);
      let known = byShape.get(key);
      if (!known) {
        known = { layer, compiled: await compile(layerStretch(config, shapes, options, trains, layer)) };
        byShape.set(key, known);
      }
      const from = layerPrefix(known.layer);
      const rename = (name: string) =>
        name.startsWith(from) ? layerPrefix(layer) + name.slice(from.length) : name;
      places.push({ compiled: known.compiled, rename });
    }
    const found = places.findIndex(({ compiled }) => compiled.trained.length > 0);
    const first = found < 0 ? places.length : found;
    const memory = options.memory ?? hostMemory(ort);
    const buffers = (count: number) =>
      Promise.all(
        Array.from({ length: count }, () =>
          memory.zeros([options.batch * options.length, config.language.hiddenSize]),
        ),
      );
    const flowing = await buffers(first < places.length ? 2 : 0);
    return new BlockTrunk(shapes, memory, await buffers(places.length), flowing, places, sessions, first);
  }

  /** Names of the parameters that get gradients, in the order of the forward pass. */
  get trained(): string[] {
    return this.places.flatMap(({ compiled, rename }) => compiled.trained.map(rename));
  }

  /** Runs all layers; returns the last one's output [batch · length, hidden], valid until the next call. */
  async forward(parameters: ParameterValues, feeds: ReadonlyMap<string, Feed>): Promise<Feed> {
    this.feeds = new Map(feeds);
    for (const [i, { compiled, rename }] of this.places.entries()) {
      const session = compiled.forward;
      const inputs = new Map(this.feeds);
      if (i > 0) inputs.set('x', this.boundaries[i - 1]);
      feedParameters(inputs, session, this.shapes, parameters, rename);
      await session.run(inputs, new Map([['y', this.boundaries[i]]]));
    }
    return this.boundaries.at(-1)!;
  }

  /** Goes back from the gradient of what `forward` returned, writing into `gradients` by parameter name. */
  async backward(parameters: ParameterValues, dy: Feed, gradients: ReadonlyMap<string, Feed>): Promise<void> {
    let arriving = dy;
    for (let i = this.places.length - 1; i >= this.first; i--) {
      const { compiled, rename } = this.places[i];
      const session = compiled.backward;
      if (!session) return;
      const inputs = new Map(this.feeds);
      if (i > 0) inputs.set('x', this.boundaries[i - 1]);
      inputs.set('dy', arriving);
      feedParameters(inputs, session, this.shapes, parameters, rename);
      const outputs = new Map<string, Feed>();
      for (const name of compiled.trained) {
        outputs.set(gradientName(name), gradients.get(rename(name))!);
      }
      // Never the buffer that is being read.
      const leaving = arriving === this.flowing[0] ? this.flowing[1] : this.flowing[0];
      if (i > this.first) outputs.set('dx', leaving);
      await session.run(inputs, outputs);
      arriving = leaving;
    }
  }

  async release(): Promise<void> {
    for (const session of this.sessions) await session.release();
    for (const tensor of [...this.boundaries, ...this.flowing]) this.memory.free(tensor);
  }
}

const layerPrefix = (layer: number) => `language_model.model.layers.${layer}.`;

/** Equal for layers that can share sessions. */
function layerKey(
  config: InternVLConfig,
  { scheme }: TrunkOptions,
  trains: (name: string) => boolean,
  layer: number,
): string {
  const prefix = layerPrefix(layer);
  const own = parameterInventory(config).filter(({ name }) => name.startsWith(prefix));
  return JSON.stringify(
    own.map(({ name, role }) => [role === 'linear' ? scheme?.(name) : undefined, trains(name)]),
  );
}
