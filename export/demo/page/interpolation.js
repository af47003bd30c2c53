/** The straight path between the first draws of two seeds. */

import {drawImages, prepare} from './draw.js';
import {BATCH} from './model.js';
import {byId, makeClock, newest, readSeed} from './widgets.js';

const COLUMNS = 8;

/** Returns BATCH latents from one z [D] to another, both ends included: [BATCH, D]. */
export function straightPath(from, to) {
  const path = Array.from({length: BATCH}, (_, i) =>
    Array.from(from, (start, d) => start + (i / (BATCH - 1)) * (to[d] - start)));
  return Float32Array.from(path.flat());
}

/** Wires up the section; returns a function that draws it again. */
export function setUpInterpolation(model) {
  const [path, from, to] = ['path', 'from', 'to'].map(byId);
  const showTime = makeClock(byId('interpolation-time'));
  byId('interpolation').hidden = false;

  const draw = newest(async (stale, ...seeds) => {
    const [start, end] = [await model.sample(seeds[0], 0, 1), await model.sample(seeds[1], 0, 1)];
    const {image, milliseconds} = await model.decode(straightPath(start.z, end.z));
    prepare(path, model.shape, BATCH, COLUMNS);
    drawImages(path, image, model.shape);
    showTime(milliseconds, BATCH);
  });
  const refresh = async () => {
    const seeds = [readSeed(from), readSeed(to)];
    if (!seeds.includes(null)) await draw(...seeds);
  };

  from.addEventListener('input', refresh);
  to.addEventListener('input', refresh);
  return refresh;
}
