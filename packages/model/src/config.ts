/** InternVL architecture, normalised from either configuration layout (see parseConfig). */
export interface InternVLConfig {
  /** Layout the folder was written in: tells the default chat template and the tensor names on disk. */
  readonly layout: 'huggingface' | 'original';
  readonly vision: {
    readonly hiddenSize: number;
    readonly numLayers: number;
    readonly numHeads: number;
    readonly intermediateSize: number;
    readonly imageSize: number;
    readonly patchSize: number;
    readonly layerNormEps: number;
  };
  readonly language: {
    readonly hiddenSize: number;
    readonly numLayers: number;
    readonly numHeads: number;
    readonly numKeyValueHeads: number;
    readonly headDim: number;
    readonly intermediateSize: number;
    readonly vocabSize: number;
    readonly rmsNormEps: number;
    readonly ropeTheta: number;
    readonly maxPositionEmbeddings: number;
  };
  /** Visual tokens per tile: (imageSize / patchSize / 2)². */
  readonly tokensPerTile: number;
  readonly imageTokenId: number;
}
