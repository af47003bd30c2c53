/** A slider for each latent dimension and, where there are two, the plane itself. */

import {drawImages, prepare} from './draw.js';
import {BATCH} from './model.js';
import {byId, makeClock, newest} from './widgets.js';

const LIMIT = 3; // standard deviations of the prior
const SIDE = 12; // images on a side of the plane's map; SIDE * SIDE is a multiple of BATCH

/**
 * Wires up the section.
 *
 * @param {Model} model
 * @return {{show: function(Float32Array), refresh: function(): Promise}} `show` moves to a z [D];
 *     `refresh` draws all again
 */
export function setUpLatent(model) {
  const [picture, centre] = ['picture', 'centre'].map(byId);
  const showTime = makeClock(byId('latent-time'));
  const z = new Float32Array(model.latentSize);
  byId('latent').hidden = false;
  prepare(picture, model.shape, 1, 1);

  const decode = newest(async () => {
    const {image, milliseconds} = await model.decode(z.slice());
    drawImages(picture, image, model.shape);
    showTime(milliseconds, 1);
  });
  const sliders = Array.from(z, (_, dimension) =>
    makeSlider(byId('sliders'), dimension, (value) => move({[dimension]: value})));
  const plane = model.latentSize === 2 ? setUpPlane(model, (values) => move(values)) : null;

  function move(values) {
    for (const [dimension, value] of Object.entries(values)) z[dimension] = value;
    sliders.forEach((slider, dimension) => slider.show(z[dimension]));
    plane?.mark(z);
    return decode();
  }

  centre.addEventListener('click', () => move(new Float32Array(z.length)));
  return {show: move, refresh: () => Promise.all([decode(), plane?.refresh()])};
}

function makeSlider(parent, dimension, onInput) {
  const label = document.createElement('label');
  label.innerHTML = `<span>z<sub>${dimension}</sub></span>`;
  const slider = Object.assign(document.createElement('input'), {
    type: 'range', min: -LIMIT, max: LIMIT, step: 0.01,
  });
  slider.ariaLabel = `latent dimension ${dimension}`;
  const output = document.createElement('output');
  label.append(slider, output);
  parent.append(label);
  slider.addEventListener('input', () => onInput(slider.valueAsNumber));
  return {
    show(value) {
      // A prior that is not N(0, 1) reaches further.
      const limit = Math.max(slider.max, Math.ceil(Math.abs(value)));
      [slider.min, slider.max, slider.value] = [-limit, limit, value];
      output.textContent = value.toFixed(2);
    },
  };
}

/** The plane of two dimensions: z0 to the right, z1 upwards, decoded images as its map. */
function setUpPlane(model, onMove) {
  const [pad, map, marker] = ['pad', 'map', 'marker'].map(byId);
  pad.hidden = false;

  const moveTo = (event) => {
    const box = map.getBoundingClientRect();
    const right = (event.clientX - box.left) / box.width;
    const down = (event.clientY - box.top) / box.height;
    onMove([right, 1 - down].map((share) => LIMIT * Math.min(1, Math.max(-1, 2 * share - 1))));
  };
  pad.addEventListener('pointerdown', (event) => {
    pad.setPointerCapture(event.pointerId);
    moveTo(event);
  });
  pad.addEventListener('pointermove', (event) => {
    if (pad.hasPointerCapture(event.pointerId)) moveTo(event);
  });

  return {
    mark([right, up]) {
      marker.style.left = `${50 + (50 * right) / LIMIT}%`;
      marker.style.top = `${50 - (50 * up) / LIMIT}%`;
    },
    refresh: newest(async (stale) => {
      prepare(map, model.shape, SIDE * SIDE, SIDE);
      for (let start = 0; start < SIDE * SIDE && !stale(); start += BATCH) {
        const places = Array.from({length: BATCH}, (_, i) => placeOnPlane(start + i));
        const {image} = await model.decode(Float32Array.from(places.flat()));
        drawImages(map, image, model.shape, start);
      }
    }),
  };
}

/** Returns [z0, z1] at the middle of an image of the map, whose first row is the highest. */
function placeOnPlane(place) {
  const middle = (index) => LIMIT * ((2 * index + 1) / SIDE - 1);
  return [middle(place % SIDE), -middle(Math.floor(place / SIDE))];
}
