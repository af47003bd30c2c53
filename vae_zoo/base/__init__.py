"""What VAE inherits: what users call, the stacks that models build of, the checks of inputs."""

from vae_zoo.base.inputs import CheckedInputs
from vae_zoo.base.stacks import Stacks
from vae_zoo.base.users import ForUsers

__all__ = ["CheckedInputs", "ForUsers", "Stacks"]
