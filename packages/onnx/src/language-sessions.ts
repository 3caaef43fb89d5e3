import { languageModel, type InternVLConfig } from '@speedq/model';
import { Graph } from './graph.ts';
import { OnnxOps } from './onnx-ops.ts';
import { parameterInputs } from './parameters.ts';
import { Session, type Feed, type OrtModule, type SessionOptions } from './session.ts';

/** The language side as graphs with a KV cache, compiled when a batch size is first wanted. */
export class LanguageSessions {
  private readonly sessions = new Map<string, Promise<Session>>();

  constructor(
    private readonly ort: OrtModule,
    readonly config: InternVLConfig,
    /** Read at every run. */
    readonly parameters: ReadonlyMap<string, Feed>,
    private readonly options: SessionOptions,
  ) {}

  /** `withImages` adds the inputs that place picture features. */
  open(batch: number, withImages: boolean): Promise<Session> {
    const key = `${batch} ${withImages}`;
    let session = this.sessions.get(key);
    if (session === undefined) {
      session = Session.create(this.ort, buildLanguageGraph(this.config, batch, withImages), this.options);
      this.sessions.set(key, session);
    }
    return session;
  }

  async release(): Promise<void> {
    for (const session of this.sessions.values()) await (await session).release();
  }
}

/** `rows` are batch · length: the new tokens of each sequence, one sequence after the other. */
function buildLanguageGraph(config: InternVLConfig, batch: number, withImages: boolean): Uint8Array {
  const g = new Graph();
  const { headDim, numKeyValueHeads, hiddenSize } = config.language;
  const half = headDim / 2;
  const features = withImages ? g.input('image_features', ['features', hiddenSize]) : undefined;
  const cached = [batch, numKeyValueHeads, 'past', headDim];
  const ops = new OnnxOps(g, {
    parameter: parameterInputs(g, config),
    language: {
      batch,
      length: 'length',
      cos: g.input('cos', [batch, 'length', 1, half]),
      sin: g.input('sin', [batch, 'length', 1, half]),
      mask: g.input('mask', [batch, 1, 'length', 'total']),
      imageIndex: withImages ? g.input('image_index', ['rows'], 'int64') : undefined,
      imageMask: withImages ? g.input('image_mask', ['rows', 1]) : undefined,
      selected: g.input('selected', ['selected'], 'int64'),
      cache: {
        past: (layer) => ({
          key: g.input(`past.${layer}.key`, cached),
          value: g.input(`past.${layer}.value`, cached),
        }),
        present: (layer, key, value) => {
          g.output(`present.${layer}.key`, key);
          g.output(`present.${layer}.value`, value);
        },
        total: 'total',
      },
    },
  });
  const ids = g.input('input_ids', ['rows'], 'int64');
  g.output('logits', languageModel(ops, config, ids, features));
  return g.build();
}
