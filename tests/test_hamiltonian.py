"""The Hamiltonian VAE: its steps, its weights, and what they gain on a model of known log p(x)."""

import numpy as np
import pytest
import tensorflow as tf
from known_models import LinearGaussianVAE, probabilistic_pca

import vae_zoo
from vae_zoo.models.hamiltonian import HamiltonianVAE
from vae_zoo.probability import elbo

SEED = (0, 3)


class HamiltonianLinear(HamiltonianVAE, LinearGaussianVAE):
    """The linear model, its posterior's samples moved."""


@pytest.fixture(scope="module")
def linear(factor_images):
    """A function that makes the model of T steps, its posterior too far and too narrow."""
    (loading, mean, scale), _ = probabilistic_pca(factor_images, 2)

    def make(steps):
        shape = factor_images.shape[1:]
        model = HamiltonianLinear(shape, 2, noise_scale=scale, leapfrog_steps=steps)
        model.set_exact(loading, mean)
        kernel, bias = model.posterior_head.get_weights()
        bias[:2] += 0.4
        bias[2:] += 0.5
        model.posterior_head.set_weights([kernel, bias])
        model.step_logits.assign(np.full(2, np.log(0.16 / 0.84)))  # steps of 0.08
        model.cold_logit.assign(np.log(0.4 / 0.6))
        return model

    return make, {"image": tf.constant(factor_images[:16])}


def terms_of(model, inputs, samples):
    return tf.function(
        lambda: model.terms(inputs, num_samples=samples, analytic=False, seed=SEED)
    )()


def test_weights_have_the_mean_p_x(linear):
    make, inputs = linear
    model = make(6)
    evidence = model.log_evidence(inputs["image"].numpy())
    terms = terms_of(model, inputs, 1000)
    ratio = np.exp(elbo.log_weights(terms) - evidence[:, np.newaxis])
    error = ratio.std() / np.sqrt(16 * 1000)
    assert abs(ratio.mean() - 1) < 4 * error < 0.2
    assert (elbo.elbo(terms).numpy() < evidence).all()


def exact_gap(steps, size, cold, shift, scale, precision):
    """Returns log p(x) less the bound for each shift, one dimension of normals: [B].

    (z, n) goes through linear maps: KL(N(A m, A S A') || N(0, diag(1 / precision, 1))).
    """
    shares = (np.arange(steps + 1) / steps) ** 2
    roots = 1 / ((1 - cold**-0.5) * shares + cold**-0.5)
    whole = np.diag([1, 1 / roots[0]])
    half = np.array([[1, 0], [-0.5 * size * precision, 1]])
    for before, after in zip(roots, roots[1:], strict=False):
        whole = np.diag([1, before / after]) @ half @ [[1, size], [0, 1]] @ half @ whole
    target = np.diag([precision, 1.0])
    covariance = whole @ np.diag([scale**2, 1]) @ whole.T
    mean = whole[:, :1] * shift  # [2, B]
    far = np.einsum("ib,ij,jb->b", mean, target, mean)
    product = target @ covariance
    return 0.5 * (np.trace(product) + far - 2 - np.log(np.linalg.det(product)))


def test_the_bound_rises_with_steps_as_it_must(linear):
    """In closed form: normals stay normals."""
    make, inputs = linear
    gaps = []
    for steps in (1, 3, 6):
        model = make(steps)
        evidence = model.log_evidence(inputs["image"].numpy())
        terms = terms_of(model, inputs, 1000)
        log_weights = elbo.log_weights(terms).numpy()
        start = model.posterior(inputs["image"])
        kernel, bias = model.decoder.get_weights()
        precision = 1 + (kernel**2).sum(1) / model.noise_scale**2  # of the true posterior, [D]
        rows = inputs["image"].numpy().reshape(len(evidence), -1) - bias
        centre = rows @ kernel.T / model.noise_scale**2 / precision
        known = sum(
            exact_gap(steps, 0.08, 0.4, shift, scale, each)
            for shift, scale, each in zip(
                *((start.mean() - centre).numpy().T, start.stddev()[0].numpy(), precision),
                strict=True,
            )
        )
        error = np.std(log_weights - log_weights.mean(1, keepdims=True)) / np.sqrt(16 * 1000)
        found = evidence - log_weights.mean(1)
        assert abs(np.mean(found - known)) < 4 * error < 0.2
        gaps.append(known.mean())
    assert gaps[1] < 0.8 * gaps[0] and gaps[2] < 0.8 * gaps[1], gaps


def test_steps_can_be_turned_round_and_keep_the_energy(linear):
    """Without cooling: backwards from the end, to the start; the energy changes little."""
    make, inputs = linear
    model, image = make(4), inputs["image"]
    model.cold_logit.assign(20.0)  # b_0 = 1
    model.step_logits.assign([-3.0, -3.0])
    z, momentum = (tf.random.stateless_normal([1, 16, 2], (0, i)) for i in range(2))

    def energy(z, momentum):
        joint = model.likelihood(z).log_prob(image) + model.prior().log_prob(z)
        return (0.5 * tf.reduce_sum(momentum**2, -1) - joint).numpy()

    moved, faster = model.move(z, momentum, image)
    assert np.abs(moved - z).max() > 0.1
    np.testing.assert_allclose(energy(moved, faster), energy(z, momentum), rtol=2e-3)
    back, slower = model.move(moved, -faster, image)
    np.testing.assert_allclose(back, z, atol=1e-4)
    np.testing.assert_allclose(-slower, momentum, atol=1e-4)


def test_no_step_is_refused(tiny):
    with pytest.raises(vae_zoo.UserError, match="leapfrog_steps=0"):
        tiny("hamiltonian_vae", leapfrog_steps=0)
    with pytest.raises(vae_zoo.UserError, match="prior='vamp' does not combine"):
        tiny("hamiltonian_vae", prior="vamp")
