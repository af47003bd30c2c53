/** The page: loads the model, then wires up one section after the other. */

import {setUpInterpolation} from './interpolation.js';
import {setUpLatent} from './latent.js';
import {Model} from './model.js';
import {setUpSamples} from './samples.js';
import {byId} from './widgets.js';

/** Settles when everything on the page is drawn for the first time. */
export const ready = start();

async function start() {
  const status = byId('status');
  try {
    const model = await Model.load();
    document.querySelector('main').hidden = false;
    showDescription(status, model.description);
    const refreshAll = setUpSections(model);
    setUpLabels(model, refreshAll);
    await refreshAll();
    return model;
  } catch (error) {
    status.textContent = `This browser could not run the model: ${error.message ?? error}`;
    throw error;
  }
}

function setUpSections(model) {
  if (!model.decodes) return setUpSamples(model, null);
  const latent = setUpLatent(model);
  const refreshers = [setUpSamples(model, latent.show), latent.refresh, setUpInterpolation(model)];
  return async () => {
    for (const refresh of refreshers) await refresh();
  };
}

function setUpLabels(model, refreshAll) {
  const count = model.description.num_classes;
  if (!count) return;
  const names = model.description.label_names ?? Array.from({length: count}, (_, i) => String(i));
  const choice = byId('label');
  choice.append(...names.map((name, label) => new Option(name, label)));
  choice.addEventListener('change', () => {
    model.label = Number(choice.value);
    refreshAll();
  });
  byId('label-choice').hidden = false;
}

function showDescription(status, description) {
  document.title = description.model;
  byId('name').textContent = description.model;
  const parts = [
    `images of ${description.image_shape.join(' × ')}`,
    description.latent_size ? `${description.latent_size} latent dimensions` : null,
    `${(description.bytes / 1e6).toFixed(1)} MB`,
  ];
  status.textContent = parts.filter(Boolean).join(' · ');
}
