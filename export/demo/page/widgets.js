/** The little that all parts of the page share. */

const RUNS = 15;

/** Returns an element of the page. */
export function byId(id) {
  return document.getElementById(id);
}

/** Returns a function that shows an image's time: the median of the last runs. */
export function makeClock(output) {
  const times = [];
  return (milliseconds, images) => {
    times.unshift(milliseconds / images);
    times.length = Math.min(times.length, RUNS);
    const median = [...times].sort((a, b) => a - b)[(times.length - 1) >> 1];
    output.textContent = `${median.toFixed(2)} ms per image`;
  };
}

/** Returns the whole number in a field, or null where it is none that fits int32. */
export function readSeed(field) {
  const seed = field.valueAsNumber;
  field.classList.toggle('wrong', seed !== (seed | 0));
  return seed === (seed | 0) ? seed : null;
}

/**
 * Returns `work` as a function for which only the newest call counts: a slider moves faster than
 * a decoder. While it works, calls replace each other; `stale()` tells it that one waits.
 */
export function newest(work) {
  let waiting = null;
  let working = null;
  const stale = () => waiting !== null;
  async function workAll() {
    while (waiting) {
      const values = waiting;
      waiting = null;
      await work(stale, ...values);
    }
  }
  return (...values) => {
    waiting = values;
    working ??= workAll().finally(() => (working = null));
    return working;
  };
}
