/** The grid of a seed: the images of Python's model.generate(seed), rows [seed, 0] to [seed, 63]. */

import {drawImages, placeOf, prepare} from './draw.js';
import {BATCH} from './model.js';
import {byId, makeClock, newest, readSeed} from './widgets.js';

export const COUNT = 64;
const COLUMNS = 8;

/** Yields {start, image, z, milliseconds} of a seed's images, a batch at a time. */
export async function* generate(model, seed) {
  for (let start = 0; start < COUNT; start += BATCH) {
    yield {start, ...(await model.sample(seed, start))};
  }
}

/**
 * Wires up the section.
 *
 * @param {Model} model
 * @param {function(Float32Array)} choose is told the z [D] of the image that the user chooses
 * @return {function(): Promise} draws the grid again
 */
export function setUpSamples(model, choose) {
  const [grid, field] = ['grid', 'seed'].map(byId);
  const showTime = makeClock(byId('samples-time'));
  const latents = new Float32Array(COUNT * (model.latentSize ?? 0));

  const draw = newest(async (stale, seed) => {
    prepare(grid, model.shape, COUNT, COLUMNS);
    for await (const batch of generate(model, seed)) {
      drawImages(grid, batch.image, model.shape, batch.start);
      showTime(batch.milliseconds, BATCH);
      if (model.decodes) latents.set(batch.z, batch.start * model.latentSize);
      await new Promise(requestAnimationFrame); // a slow decoder's images appear as they come
      if (stale()) return;
    }
  });
  const chooseImage = (place) =>
    choose(latents.slice(place * model.latentSize, (place + 1) * model.latentSize));
  const refresh = async () => {
    const seed = readSeed(field);
    if (seed === null) return;
    await draw(seed);
    if (model.decodes) chooseImage(0);
  };

  field.addEventListener('input', refresh);
  byId('next-seed').addEventListener('click', () => {
    field.stepUp();
    refresh();
  });
  if (model.decodes) {
    byId('grid-hint').hidden = false;
    grid.classList.add('choice');
    grid.addEventListener('click', (event) => chooseImage(placeOf(event, grid, COUNT)));
  }
  return refresh;
}
