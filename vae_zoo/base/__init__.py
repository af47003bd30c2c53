"""What VAE inherits: Keras's methods, what users call, the stacks that models build of."""

from vae_zoo.base.keras_model import KerasModel
from vae_zoo.base.stacks import Stacks
from vae_zoo.base.users import ForUsers

__all__ = ["ForUsers", "KerasModel", "Stacks"]
