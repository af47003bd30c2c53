"""What VAE inherits: Keras's methods, what users call, the objective, its parts and stacks."""

from vae_zoo.base.accumulation import Accumulating
from vae_zoo.base.configuration import Configured
from vae_zoo.base.keras_model import KerasModel
from vae_zoo.base.objective import Objective
from vae_zoo.base.parts import Parts
from vae_zoo.base.stacks import Stacks
from vae_zoo.base.users import ForUsers

__all__ = [
    "Accumulating",
    "Configured",
    "ForUsers",
    "KerasModel",
    "Objective",
    "Parts",
    "Stacks",
]
