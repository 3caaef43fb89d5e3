/**
 * Asks an exported model through transformers.js, in Node and in a page alike.
 *
 * @param {Record<string, any>} library the module `@huggingface/transformers`
 * @param {string} model name below `library.env.localModelPath`
 * @param {{ dtype: string, device: string, maxNewTokens: number, imageSize: number }} options
 * @param {{ ids: number[], tiles: number, pixels: number[] | Float32Array }[]} questions
 * @returns {Promise<number[][]>} the greedy ids of each answer, the one that ends it included
 */
export async function answer(library, model, options, questions) {
  const { AutoModelForImageTextToText, Tensor } = library;
  const { dtype, device, maxNewTokens, imageSize } = options;
  const loaded = await AutoModelForImageTextToText.from_pretrained(model, { dtype, device });
  const answers = [];
  for (const { ids, tiles, pixels } of questions) {
    const shape = [1, ids.length];
    const output = await loaded.generate({
      input_ids: new Tensor('int64', BigInt64Array.from(ids, BigInt), shape),
      attention_mask: new Tensor('int64', new BigInt64Array(ids.length).fill(1n), shape),
      pixel_values: new Tensor('float32', Float32Array.from(pixels), [tiles, 3, imageSize, imageSize]),
      max_new_tokens: maxNewTokens,
      do_sample: false,
    });
    answers.push(Array.from(output.data.slice(ids.length), Number));
  }
  await loaded.dispose();
  return answers;
}
