import { LanguageModel } from '../language-model.ts';
import type { LanguageModelCreateOptions } from '../language-model-options.ts';

export interface AdapterOptions extends Omit<
  LanguageModelCreateOptions,
  'model' | 'signal' | 'initialPrompts' | 'samplingMode' | 'temperature' | 'topK' | 'topP' | 'minP'
> {
  /** Addresses of models by the names that requests use; a name that is not here is an address itself. */
  readonly models?: Readonly<Record<string, string>>;
  /** The class of '@speedq/runtime/node', in Node. Default: the page's. */
  readonly LanguageModel?: Pick<typeof LanguageModel, 'create'>;
}

type Request = Pick<
  LanguageModelCreateOptions,
  'signal' | 'temperature' | 'topP' | 'topK' | 'repetitionPenalty'
>;

/** Sessions for requests that know no sessions. A model stays open from its first request until `destroy`. */
export class SessionPool {
  private readonly options: AdapterOptions;
  private readonly kept = new Map<string, Promise<LanguageModel>>();

  constructor(options: AdapterOptions) {
    this.options = options;
  }

  /** Runs `use` with a session of its own, which ends with it. */
  async withSession<T>(
    name: string,
    request: Request,
    use: (session: LanguageModel) => Promise<T>,
  ): Promise<T> {
    const { models = {}, LanguageModel: Model = LanguageModel, ...common } = this.options;
    const options: LanguageModelCreateOptions & { readonly model: string } = {
      expectedInputs: [{ type: 'image' }],
      ...common,
      model: Object.hasOwn(models, name) ? models[name] : name,
    };
    const session = await Model.create({ ...options, ...request });
    try {
      this.keep(options.model, session);
      return await use(session);
    } finally {
      session.destroy();
    }
  }

  destroy(): void {
    for (const session of this.kept.values()) {
      session.then(
        (kept) => kept.destroy(),
        () => {},
      );
    }
    this.kept.clear();
  }

  /** A session that nobody uses holds the engine when those of the requests have ended. */
  private keep(model: string, session: LanguageModel): void {
    if (this.kept.has(model)) return;
    const kept = session.clone();
    this.kept.set(model, kept);
    kept.catch(() => this.kept.delete(model));
  }
}
