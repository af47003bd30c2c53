/**
 * The model in the page: LiteRT.js behind plain arrays.
 *
 * The file's signatures have fixed batch sizes, 1 and 16. LiteRT.js leaves memory to its caller:
 * every tensor is deleted after use.
 */

import {loadAndCompile, loadLiteRt, Tensor} from '@litertjs/core';

/** The batch of `sample_16` and `decode_16`. */
export const BATCH = 16;

/** Returns the row of seed of each image: row i is [seed, i], as in Python's noise.rows. */
export function seedRows(seed, count, start = 0) {
  return Int32Array.from({length: 2 * count}, (_, i) => (i % 2 ? start + (i - 1) / 2 : seed));
}

export class Model {
  /**
   * @param {object} description what model.json holds
   * @param {object} compiled LiteRT.js's CompiledModel
   */
  constructor(description, compiled) {
    this.description = description;
    this.compiled = compiled;
    this.shape = description.image_shape; // [height, width, channels]
    this.latentSize = description.latent_size;
    this.label = 0; // of every image, where the model is conditional
  }

  /** Loads the WebAssembly and the TFLite file, both from the server of the page. */
  static async load() {
    self.Module = {printErr: log}; // LiteRT.js hands it to its WebAssembly
    const [description] = await Promise.all([
      fetch('model.json').then((response) => response.json()),
      loadLiteRt('node_modules/@litertjs/core/wasm/'),
    ]);
    return new Model(description, await loadAndCompile('model.tflite', {accelerator: 'wasm'}));
  }

  /** Whether one flat z decodes to an image: false where an image is more than that. */
  get decodes() {
    return 'decode_1' in this.compiled.signatures;
  }

  /** Returns {image, z, milliseconds} of a seed's images from `start` on: 1 or BATCH of them. */
  sample(seed, start = 0, count = BATCH) {
    return this.run(`sample_${count}`, count, {seed: seedRows(seed, count, start)});
  }

  /** Returns {image, milliseconds} of latents [count, D]: 1 or BATCH of them. */
  decode(z) {
    const count = z.length / this.latentSize;
    return this.run(`decode_${count}`, count, {z});
  }

  /** Runs a signature on typed arrays; returns its outputs as such, and how long it took. */
  async run(name, count, arrays) {
    const runner = this.compiled.signatures[name];
    const named = {...arrays, label: new Int32Array(count).fill(this.label)};
    const inputs = {};
    let outputs = {};
    try {
      for (const {name: input, shape} of runner.getInputDetails()) {
        inputs[input] = new Tensor(named[input], shape);
      }
      const start = performance.now();
      outputs = await runner.run(inputs);
      const results = {milliseconds: performance.now() - start};
      for (const [output, tensor] of Object.entries(outputs)) {
        results[output] = await tensor.data();
      }
      return results;
    } finally {
      [...Object.values(inputs), ...Object.values(outputs)].forEach((tensor) => tensor.delete());
    }
  }
}

/** LiteRT writes lines of every level to the stream that browsers show as errors. */
function log(line) {
  (line.startsWith('ERROR') ? console.error : console.debug)(line);
}
