"""Priors fitted after the fact: known densities, bounds, files, exports, and what is refused."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from known_models import LinearGaussianVAE, probabilistic_pca
from test_export import ALL, Formats

import vae_zoo
from vae_zoo import aggregate, cli, evaluate, fit_prior, runs, sample
from vae_zoo.metrics import likelihood
from vae_zoo.probability import fitted, noise
from vae_zoo.runs import fitted_priors

DENSITIES, WITHOUT = ("gmm", "maf", "realnvp"), [("diffusion", 400), ("two_stage", 1000)]


def shifted(images):
    """Returns a linear model whose latents are far from N(0, 1), and their mean and covariance."""
    (loading, mean, scale), _ = probabilistic_pca(images, 2)
    model = LinearGaussianVAE(images.shape[1:], noise_scale=scale)
    model.set_exact(loading, mean)
    turn = np.array([[1.0, 0.9], [-0.6, 1.4]])  # z -> turn z + 2
    kernel, bias = model.posterior_head.get_weights()
    model.posterior_head.set_weights(
        [
            np.concatenate([kernel[:, :2] @ turn.T, kernel[:, 2:]], axis=1),
            np.concatenate([turn @ bias[:2] + 2, bias[2:]]),
        ]
    )
    inverse = np.linalg.inv(turn)
    model.decoder.set_weights([inverse.T @ loading.T, mean - loading @ inverse @ [2, 2]])
    posterior = model.posterior(tf.constant(images))
    means, deviations = posterior.mean().numpy(), posterior.stddev().numpy()
    return model, means.mean(0), np.cov(means.T, bias=True) + np.diag((deviations**2).mean(0))


def log_normal(x, mean, covariance):
    deviation = x - mean
    squares = np.einsum("ni,ij,nj->n", deviation, np.linalg.inv(covariance), deviation)
    return -0.5 * (squares + np.linalg.slogdet(2 * np.pi * covariance)[1])


def fit(model, name, images, **arguments):
    """Gives the model a fitted prior, and returns it."""
    given = {"steps": 400, "seed": 3, **arguments}
    part = aggregate.fit(model, name, images, **given)
    model.replace_prior(part, name)
    return part


def test_a_normal_fitted_to_the_latents_has_their_mean_and_covariance(factor_images):
    model, mean, covariance = shifted(factor_images)
    part = fit(model, "gmm", factor_images, components=1)
    np.testing.assert_allclose(part.means[0], mean, atol=0.05)
    factor = part.factors[0].numpy()
    np.testing.assert_allclose(factor @ factor.T, covariance, atol=0.1)
    z = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    exact = log_normal(z, part.means[0].numpy(), factor @ factor.T)
    np.testing.assert_allclose(model.prior().log_prob(z), exact, rtol=1e-4)


@pytest.mark.parametrize("name, steps", [(name, 400) for name in DENSITIES] + WITHOUT)
def test_a_fitted_prior_is_near_to_the_latents(name, steps, factor_images):
    model, mean, covariance = shifted(factor_images)
    latents = aggregate.AggregatePosterior(model, factor_images)
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]  # of near normal latents
    assert latents.log_density(1) < -entropy - 1
    fit(model, name, factor_images, steps=steps, components=3 if name == "gmm" else None)
    if name in DENSITIES:
        assert latents.log_density(1) == pytest.approx(-entropy, abs=0.25)
    z = model.sample_prior(noise.rows(0, 10_000)).numpy()
    spread = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(z.mean(0) / spread, mean / spread, atol=0.15)
    np.testing.assert_allclose(z.std(0) / spread, 1, atol=0.15)
    wished = covariance[0, 1] / np.prod(spread)
    assert np.corrcoef(z.T)[0, 1] == pytest.approx(wished, abs=0.07)
    np.testing.assert_allclose(model.sample_prior(noise.rows(0, 3)), z[:3], atol=1e-5)


def test_pseudo_inputs_are_fitted_to_the_latents(tiny, batch):
    model, images = tiny("vae"), batch["image"]
    latents = aggregate.AggregatePosterior(model, images)
    densities = []
    for steps in (1, 100):
        fit(model, "vamp", images, steps=steps, components=2)
        densities.append(latents.log_density(1))
    assert densities[1] > densities[0] + 0.05
    again = tiny("vae")
    fit(again, "vamp", images, steps=100, components=2)
    assert aggregate.AggregatePosterior(again, images).log_density(1) == densities[1]


def test_the_bound_with_a_fitted_prior_is_one_of_the_new_evidence(factor_images):
    model, _, _ = shifted(factor_images)
    part = fit(model, "gmm", factor_images, components=1)
    kernel, bias = model.decoder.get_weights()
    factor = part.factors[0].numpy()
    covariance = kernel.T @ factor @ factor.T @ kernel + model.noise_scale**2 * np.eye(6)
    flat = factor_images[:16].reshape(16, 6)
    exact = log_normal(flat, bias + part.means[0].numpy() @ kernel, covariance).mean()
    figures = likelihood.evaluate(model, factor_images[:16], num_samples=3000)
    assert -figures.nll == pytest.approx(exact, abs=0.02)
    assert figures.elbo < exact + 0.02


@pytest.mark.parametrize(
    "model, name",
    [
        ("vae", "gmm"),
        ("vae", "diffusion"),
        pytest.param("beta_vae", "two_stage", marks=pytest.mark.slow),
        pytest.param("conv_vae", "vamp", marks=pytest.mark.slow),
    ],
)
def test_every_format_draws_what_keras_draws(model, name, tiny, batch, tmp_path):
    model = tiny(model)
    components = 3 if name in ("gmm", "vamp") else None
    fit(model, name, batch["image"], steps=30, components=components)
    formats = Formats(model, tmp_path)
    assert ("elbo" in formats.found) == (name in ("gmm", "vamp"))
    [served] = formats.served(ALL)
    formats.assert_agree(served["sample"], formats.expected["sample"])
    formats.assert_agree(formats.lite("sample"), formats.expected["sample"])


def run(command, *given):
    """Runs a command in this process."""
    for flag in command.FLAGS:
        command.FLAGS[flag].unparse()
    function = {fit_prior: "fit_prior", sample: "sample", evaluate: "evaluate"}[command]
    cli.run(getattr(command, function), command.FLAGS, ["command", *map(str, given)])


@pytest.fixture(scope="module")
def fitted_run(trained, data_dir, tmp_path_factory):
    """A copy of `trained` with a mixture, by the command, and a second stage, which is kept alone.

    The latter is not fitted.
    """
    directory = tmp_path_factory.mktemp("runs") / "run"
    shutil.copytree(trained, directory)
    run(fit_prior, f"--run={directory}", "--prior=gmm", f"--data_dir={data_dir}")
    part = fitted.build("two_stage", vae_zoo.load_run(directory), 1)
    about = json.loads(str(np.load(fitted_priors.file_of(directory, "gmm"))["about"]))
    fitted_priors.save(directory, part, {**about, "prior": "two_stage", "components": 1})
    return directory


def test_the_commands_take_a_fitted_prior(fitted_run, data_dir, capsys):
    run(sample, f"--run={fitted_run}", "--num=4", "--prior=gmm", "--format=npz")
    images = np.load(fitted_run / "samples-seed0-gmm.npz")["image"]
    again = vae_zoo.load_run(fitted_run, prior="gmm")
    np.testing.assert_allclose(again.generate(noise.rows(0, 4)), images, atol=1e-6)
    assert np.abs(vae_zoo.load_run(fitted_run).generate(noise.rows(0, 4)) - images).max() > 0.01
    for prior in ("", "--prior=gmm"):
        flags = [f"--data_dir={data_dir}", "--num_samples=20", "--num_images=100"]
        run(evaluate, f"--run={fitted_run}", *flags, *filter(None, [prior]))
    names = ("evaluation.json", "evaluation-gmm.json")
    old, new = (json.loads((fitted_run / name).read_text()) for name in names)
    assert (old["prior"], new["prior"]) == ("standard", "gmm")
    assert new["elbo"] > old["elbo"] and new["distortion"] == pytest.approx(old["distortion"])
    capsys.readouterr()


def test_what_is_kept_says_how_much_better_the_new_prior_is(fitted_run):
    about = json.loads(str(np.load(fitted_priors.file_of(fitted_run, "gmm"))["about"]))
    figures = about["figures"]
    assert figures["new"]["log_density"] > figures["old"]["log_density"]
    assert {"share", "test_share"} <= set(figures["new"]["completeness"])
    assert about["components"] == 10 and about["seed"] == 0


def test_a_prior_without_density_gives_no_bound(fitted_run, one_line):
    flags = [f"--run={fitted_run}", "--prior=two_stage"]
    line = one_line(evaluate.evaluate, evaluate.FLAGS, flags)
    assert "no density" in line and "no bound" in line


def test_a_prior_of_another_model_or_a_damaged_one_is_refused(fitted_run, one_line, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(fitted_run, directory)
    path, flags = fitted_priors.file_of(directory, "gmm"), [f"--run={directory}", "--prior=gmm"]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "is damaged" in one_line(sample.sample, sample.FLAGS, flags)
    path.write_bytes(fitted_priors.file_of(directory, "two_stage").read_bytes())
    assert "is damaged" in one_line(sample.sample, sample.FLAGS, flags)
    path.write_bytes(whole)
    model = vae_zoo.load_run(directory)
    model.decoder.set_weights([0.5 * weight for weight in model.decoder.get_weights()])
    runs.save_model(model, directory / runs.MODEL)
    assert "fitted to another" in one_line(sample.sample, sample.FLAGS, flags)
    path.unlink()
    assert "no such fitted prior" in one_line(sample.sample, sample.FLAGS, flags)


def test_a_model_with_a_fitted_prior_is_not_loaded_as_another(tiny, batch, tmp_path):
    model = tiny("vae")
    fit(model, "realnvp", batch["image"], steps=2)
    model.save(tmp_path / "model.keras")
    with pytest.raises(Exception, match="expected a name, or an object"):
        keras.saving.load_model(tmp_path / "model.keras")


@pytest.mark.parametrize(
    "name, prior, words",
    [
        ("hvae", "gmm", "are several layers"),
        ("ladder_vae", "maf", "are several layers"),
        ("vq_vae", "gmm", "are no one vector"),
        ("vdm", "diffusion", "are no one vector"),
        ("gumbel_vae", "gmm", "are no one vector"),
        ("vmf_vae", "gmm", "are no one vector"),
        ("hamiltonian_vae", "gmm", "moved by the prior"),
        ("iaf_vae", "vamp", "made of normal posteriors"),
        ("cvae", "vamp", "made of normal posteriors"),
        ("vae", "gnm", "Did you mean 'gmm'"),
    ],
)
def test_models_that_no_prior_is_fitted_to_are_refused(name, prior, words, tiny, batch):
    with pytest.raises(vae_zoo.UserError, match=words):
        aggregate.fit(tiny(name), prior, batch["image"], batch["label"])


@pytest.mark.parametrize("name", ["iaf_vae", "cvae", "iwae", "rae", "ssim_vae", "vae_gan"])
def test_other_models_of_one_layer_take_a_fitted_prior(name, tiny, batch):
    model = tiny(name)
    part = aggregate.fit(model, "realnvp", batch["image"], batch["label"], steps=2)
    model.replace_prior(part, "realnvp")
    inputs = {key: tf.constant(value) for key, value in batch.items()}
    assert np.isfinite(model.terms(inputs, seed=(0, 1)).loss).all()


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--prior=maf", "--components=3"], "maf has none"),
        (["--prior=gmm", "--components=0"], "--components=0"),
        (["--prior=gmm", "--components=99999"], "at most as many as training images"),
        (["--prior=gmm", "--steps=0"], "--steps=0"),
        ([], "--prior is missing"),
        (["--prior=normal"], "value should be one of"),
    ],
)
def test_mistakes_are_one_line(flags, words, fitted_run, data_dir, one_line):
    given = [f"--run={fitted_run}", f"--data_dir={data_dir}", *flags]
    assert words in one_line(fit_prior.fit_prior, fit_prior.FLAGS, given)


def test_the_command_knows_every_fitted_prior():
    assert set(fit_prior.PRIORS) == set(fitted.NAMES)
