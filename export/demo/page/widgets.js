/** The little that all parts of the page share. */

/** Returns an element of the page. */
export function byId(id) {
  return document.getElementById(id);
}

/** Writes how long an image took. */
export function showTime(output, milliseconds, images) {
  output.textContent = `${(milliseconds / images).toFixed(2)} ms per image`;
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
