"""The models, each with its arguments, idea and source: a literal table, read by the registry."""

from typing import NamedTuple


class ModelSpec(NamedTuple):
    """One registered model.

    Attributes:
        target: "module:Class"; or a class, of a model of one's own.
        arguments: constructor arguments that make it this model.
        tiny: further arguments that make it small, for tests and smoke runs.
        idea: one line.
        source: paper.
        parameters: trainable parameters at default size, 28 x 28 x 1 binary images.
        tags: words to search by.
    """

    target: str
    arguments: dict
    tiny: dict
    idea: str
    source: str
    parameters: int
    tags: tuple = ()


# With a plain rectifier these networks learn more slowly, pictures in colour above all.
_MLP = {"network": "mlp", "activation": "leaky_relu"}
_CONV = {"network": "conv", "activation": "leaky_relu"}
_TINY_MLP = {"latent_size": 3, "hidden": (16,)}
_TINY_CONV = {"latent_size": 3, "hidden": (4, 4)}
_TINY_RESNET = {"latent_size": 3, "hidden": (8, 8), "blocks": 1}
_TINY_CODES = {**_TINY_RESNET, "codebook_size": 8, "prior_width": 8, "prior_depth": 1}

MODELS = {
    "vae": ModelSpec(
        "vae_zoo.vae:VAE",
        {**_MLP, "latent_size": 40},
        _TINY_MLP,
        "The variational autoencoder, with fully connected networks",
        "Kingma and Welling 2014",
        1_346_864,
        ("mlp",),
    ),
    "conv_vae": ModelSpec(
        "vae_zoo.vae:VAE",
        {**_CONV, "latent_size": 32},
        _TINY_CONV,
        "The VAE with strided convolutions",
        "Kingma and Welling 2014; Radford et al. 2016",
        554_244,
        ("conv",),
    ),
    "resnet_vae": ModelSpec(
        "vae_zoo.vae:VAE",
        {"network": "resnet", "latent_size": 48, "blocks": 3},
        _TINY_RESNET,
        "The VAE with pre-activation residual stacks: the strong single-layer model",
        "Kingma and Welling 2014; He et al. 2016",
        1_052_144,
        ("resnet",),
    ),
    "spatial_vae": ModelSpec(
        "vae_zoo.models.spatial:SpatialVAE",
        {"blocks": 2},
        {"latent_channels": 2, "hidden": (8, 8), "blocks": 1},
        "A small map of latents for each image: near reconstructions, a first stage of others",
        "Kingma and Welling 2014; Rombach et al. 2022",
        113_176,
        ("resnet", "map", "reconstruction"),
    ),
    "latent_diffusion": ModelSpec(
        "vae_zoo.models.latent_diffusion:LatentDiffusion",
        {"blocks": 2},
        {
            **{"latent_channels": 2, "hidden": (8, 8), "blocks": 1},
            **{"denoiser_hidden": (8,), "denoiser_blocks": 1, "sample_steps": 4},
        },
        "A small map of latents whose prior is a diffusion, trained together with the VAE",
        "Vahdat et al. 2021; Rombach et al. 2022",
        461_306,
        ("resnet", "map", "diffusion", "bound"),
    ),
    "beta_vae": ModelSpec(
        "vae_zoo.vae:VAE",
        {**_CONV, "latent_size": 10, "beta": 4.0},
        _TINY_CONV,
        "The VAE with the rate weighed by beta, for disentangled latents",
        "Higgins et al. 2017",
        537_304,
        ("conv", "disentanglement"),
    ),
    "capacity_vae": ModelSpec(
        "vae_zoo.vae:VAE",
        {**_CONV, "latent_size": 10, "beta": 100.0, "capacity": 25.0},
        _TINY_CONV,
        "The VAE whose rate is held at a capacity, which warm-up lets rise from 0",
        "Burgess et al. 2018",
        537_304,
        ("conv", "disentanglement"),
    ),
    "cvae": ModelSpec(
        "vae_zoo.models.cvae:CVAE",
        {**_CONV, "latent_size": 8},
        _TINY_CONV,
        "The conditional VAE: images of the class that one asks for",
        "Sohn et al. 2015",
        546_676,
        ("conv", "conditional"),
    ),
    "vamp_vae": ModelSpec(
        "vae_zoo.vae:VAE",
        {**_CONV, "latent_size": 32, "prior": "vamp", "components": 100},
        {**_TINY_CONV, "components": 7},
        "The VAE whose prior is the mean of the posteriors at learned pseudo-inputs",
        "Tomczak and Welling 2018",
        632_644,
        ("conv", "prior"),
    ),
    "iaf_vae": ModelSpec(
        "vae_zoo.vae:VAE",
        {**_CONV, "latent_size": 32, "posterior": "iaf"},
        {**_TINY_CONV, "flow_steps": 2},
        "The VAE with an inverse autoregressive flow as posterior",
        "Kingma et al. 2016",
        777_028,
        ("conv", "flow"),
    ),
    "hamiltonian_vae": ModelSpec(
        "vae_zoo.models.hamiltonian:HamiltonianVAE",
        {**_MLP, "latent_size": 40},
        {**_TINY_MLP, "leapfrog_steps": 2},
        "The VAE whose samples of the posterior are moved by leapfrog steps under log p(x, z)",
        "Caterini et al. 2018",
        1_346_905,
        ("mlp", "flow"),
    ),
    "vmf_vae": ModelSpec(
        "vae_zoo.vae:VAE",
        {**_CONV, "latent_size": 10, "posterior": "vmf", "prior": "sphere"},
        _TINY_CONV,
        "The VAE whose latents lie on a sphere, and whose prior is uniform there",
        "Davidson et al. 2018",
        534_991,
        ("conv", "sphere"),
    ),
    "poincare_vae": ModelSpec(
        "vae_zoo.vae:VAE",
        {**_CONV, "latent_size": 10, "posterior": "wrapped", "prior": "ball"},
        _TINY_CONV,
        "The VAE whose latents lie in hyperbolic space: normals wrapped onto the Poincare ball",
        "Mathieu et al. 2019",
        537_304,
        ("conv", "hyperbolic"),
    ),
    "hvae": ModelSpec(
        "vae_zoo.models.hvae:HVAE",
        {**_MLP, "hidden": (200, 200), "latent_size": 50},
        {**_TINY_MLP, "lower_size": 4, "between": (8,)},
        "Two stochastic layers, the lower one given the upper",
        "Burda et al. 2016 (L=2); Tomczak and Welling 2018",
        556_284,
        ("mlp", "hierarchy"),
    ),
    "ladder_vae": ModelSpec(
        "vae_zoo.models.ladder:LadderVAE",
        {},
        {"latent_size": 3, "hidden": (8, 8), "blocks": 1, "num_layers": 3, "latent_channels": 2},
        "Many stochastic layers, their posteriors weighted with their priors by precision",
        "Sonderby et al. 2016",
        789_316,
        ("conv", "hierarchy"),
    ),
    "vdvae": ModelSpec(
        "vae_zoo.models.vdvae:VDVAE",
        {},
        {"size": "tiny", "latent_size": 3},
        "A very deep residual top-down path with a stochastic layer in each block",
        "Child 2021",
        309_268,
        ("conv", "hierarchy", "deep"),
    ),
    "nvae": ModelSpec(
        "vae_zoo.models.nvae:NVAE",
        {},
        {"size": "tiny"},
        "Groups of latents at several resolutions in residual cells, posteriors residual to priors",
        "Vahdat and Kautz 2020",
        544_325,
        ("conv", "hierarchy", "deep", "map"),
    ),
    "biva": ModelSpec(
        "vae_zoo.models.biva:BIVA",
        {},
        {"size": "tiny", "latent_size": 3},
        "Two latents a level, one drawn on the way up and one on the way down, skip connections",
        "Maaloe et al. 2019",
        511_812,
        ("conv", "hierarchy", "deep"),
    ),
    "iwae": ModelSpec(
        "vae_zoo.models.iwae:IWAE",
        {**_MLP, "latent_size": 40, "num_samples": 5},
        {**_TINY_MLP, "num_samples": 3},
        "The VAE trained on the importance weighted bound of K samples, by six estimators",
        "Burda et al. 2016; Tucker et al. 2019; Rainforth et al. 2018",
        1_346_864,
        ("mlp", "bound"),
    ),
    "beta_tc_vae": ModelSpec(
        "vae_zoo.models.beta_tc:BetaTCVAE",
        {**_CONV, "latent_size": 10},
        _TINY_CONV,
        "The VAE with a penalty on the total correlation, estimated from the minibatch",
        "Chen et al. 2018",
        537_304,
        ("conv", "disentanglement"),
    ),
    "factor_vae": ModelSpec(
        "vae_zoo.models.factor:FactorVAE",
        {**_CONV, "latent_size": 10},
        {**_TINY_CONV, "discriminator_hidden": (16, 16)},
        "The VAE with a penalty on the total correlation, from a discriminator",
        "Kim and Mnih 2018",
        537_304,
        ("conv", "disentanglement"),
    ),
    "dip_vae": ModelSpec(
        "vae_zoo.models.dip:DIPVAE",
        {**_CONV, "latent_size": 10},
        _TINY_CONV,
        "The VAE with a penalty on the covariance of its latents over the images",
        "Kumar et al. 2018",
        537_304,
        ("conv", "disentanglement"),
    ),
    "info_vae": ModelSpec(
        "vae_zoo.models.info:InfoVAE",
        {**_CONV, "latent_size": 10},
        _TINY_CONV,
        "The VAE with a penalty on the discrepancy of latents and prior; MMD-VAE, WAE-MMD",
        "Zhao et al. 2019; Tolstikhin et al. 2018",
        537_304,
        ("conv", "mmd"),
    ),
    "ssim_vae": ModelSpec(
        "vae_zoo.models.ssim:SSIMVAE",
        {**_CONV, "latent_size": 32},
        _TINY_CONV,
        "The VAE with a penalty on the structural dissimilarity of images and reconstructions",
        "Snell et al. 2017; Wang et al. 2003",
        554_244,
        ("conv", "perceptual"),
    ),
    "wae_gan": ModelSpec(
        "vae_zoo.models.wae_gan:WAEGAN",
        {**_CONV, "latent_size": 10, "posterior": "fixed"},
        {**_TINY_CONV, "discriminator_hidden": (16, 16)},
        "The Wasserstein autoencoder: a discriminator holds the latents of all images to the prior",
        "Tolstikhin et al. 2018",
        534_734,
        ("conv", "adversarial"),
    ),
    "aae": ModelSpec(
        "vae_zoo.models.wae_gan:WAEGAN",
        {**_CONV, "latent_size": 10, "adversarial_weight": 1.0},
        {**_TINY_CONV, "discriminator_hidden": (16, 16)},
        "The adversarial autoencoder: wae_gan with the posterior's own noise",
        "Makhzani et al. 2016",
        537_304,
        ("conv", "adversarial"),
    ),
    "vae_gan": ModelSpec(
        "vae_zoo.models.vae_gan:VAEGAN",
        {**_CONV, "latent_size": 32},
        {**_TINY_CONV, "discriminator_hidden": (4, 4)},
        "The VAE whose images are compared in the features of a discriminator that learns with it",
        "Larsen et al. 2016",
        554_244,
        ("conv", "adversarial", "perceptual"),
    ),
    "rae": ModelSpec(
        "vae_zoo.models.rae:RAE",
        {**_CONV, "latent_size": 16},
        _TINY_CONV,
        "The regularised autoencoder: a nearly deterministic encoder, a smooth decoder",
        "Ghosh et al. 2020",
        537_812,
        ("conv", "deterministic"),
    ),
    "gumbel_vae": ModelSpec(
        "vae_zoo.models.gumbel:GumbelVAE",
        _CONV,
        {"variables": 2, "categories": 3, "hidden": (4, 4)},
        "The VAE of categorical latents, by the Gumbel-softmax",
        "Jang et al. 2017; Maddison et al. 2017",
        632_204,
        ("conv", "discrete"),
    ),
    "vq_vae": ModelSpec(
        "vae_zoo.models.vq:VQVAE",
        {"blocks": 2},
        _TINY_CODES,
        "Codes of a learned codebook, with an autoregressive prior trained jointly",
        "van den Oord et al. 2017",
        297_248,
        ("resnet", "discrete", "autoregressive", "bound"),
    ),
    "sq_vae": ModelSpec(
        "vae_zoo.models.vq:VQVAE",
        {"quantizer": "stochastic", "codebook_size": 32, "temperature": 0.5, "blocks": 2},
        _TINY_CODES,
        "Codes drawn from a learned codebook, so that the encoder feels the rate; vq_vae's prior",
        "Takida et al. 2022; Jang et al. 2017",
        285_377,
        ("resnet", "discrete", "autoregressive"),
    ),
    "fsq_vae": ModelSpec(
        "vae_zoo.models.vq:VQVAE",
        {"quantizer": "fsq", "levels": (8, 6, 5), "blocks": 2},
        {"levels": (3, 2), "hidden": (8, 8), "blocks": 1, "prior_width": 8, "prior_depth": 1},
        "Codes of a few levels in each dimension, nothing to look up; vq_vae's prior",
        "Mentzer et al. 2024; Yu et al. 2024 (quantizer=lfq)",
        295_043,
        ("resnet", "discrete", "autoregressive", "bound"),
    ),
    "vq_vae_2": ModelSpec(
        "vae_zoo.models.vq_2:VQVAE2",
        {"blocks": 2},
        _TINY_CODES,
        "Codes at two levels, those of parts given those of the whole; vq_vae's prior over both",
        "Razavi et al. 2019",
        724_432,
        ("resnet", "discrete", "autoregressive", "hierarchy", "bound"),
    ),
    "vdm": ModelSpec(
        "vae_zoo.models.vdm:VDM",
        {},
        {"hidden": (8, 8), "sample_steps": 4},
        "Variational diffusion: infinitely many layers of noise, a learned schedule",
        "Kingma et al. 2021",
        296_246,
        ("unet", "diffusion", "hierarchy", "bound"),
    ),
}
