/** Pictures of float images. */

const GAP = 2; // pixels of background between images

/** Makes room on a canvas for `count` images in rows of `columns`, and clears it. */
export function prepare(canvas, shape, count, columns) {
  const [height, width] = shape;
  const rows = Math.ceil(count / columns);
  canvas.width = columns * (width + GAP) - GAP;
  canvas.height = rows * (height + GAP) - GAP;
  canvas.dataset.columns = columns;
}

/** Draws images [n, height, width, channels] in [0, 1] at the places from `start` on. */
export function drawImages(canvas, values, shape, start = 0) {
  const [height, width, channels] = shape;
  const context = canvas.getContext('2d');
  const columns = Number(canvas.dataset.columns);
  const size = height * width * channels;
  for (let i = 0; i < values.length / size; i++) {
    const pixels = toPixels(values.subarray(i * size, (i + 1) * size), shape);
    const place = start + i;
    const left = (place % columns) * (width + GAP);
    context.putImageData(pixels, left, Math.floor(place / columns) * (height + GAP));
  }
}

/** Returns the place, in a canvas of `count` images, that a pointer event is over. */
export function placeOf(event, canvas, count) {
  const box = canvas.getBoundingClientRect();
  const columns = Number(canvas.dataset.columns);
  const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
  const row = Math.floor(((event.clientY - box.top) / box.height) * Math.ceil(count / columns));
  return Math.min(count - 1, Math.max(0, row * columns + column));
}

function toPixels(values, [height, width, channels]) {
  const pixels = new ImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let channel = 0; channel < 3; channel++) {
      const value = values[i * channels + Math.min(channel, channels - 1)];
      pixels.data[4 * i + channel] = Math.round(255 * value);
    }
    pixels.data[4 * i + 3] = 255;
  }
  return pixels;
}
