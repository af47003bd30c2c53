# %% [markdown]
# # 10. Deployment: server, phone, browser
#
# A trained model becomes files that need neither vae_zoo nor Keras. Each has the same
# signatures, and the same seed gives the same picture everywhere: noise is a function of its
# key, written in operations that every runtime has.

# %%
import pathlib
import tempfile

import numpy as np
import tensorflow as tf
from lesson import source

import export
import vae_zoo
from vae_zoo.probability import noise

model = vae_zoo.from_preset("conv_vae/digits")
source(noise.threefry2x32, noise.normal)

# %% [markdown]
# ## Export
#
# A SavedModel for TF Serving, a TFLite file for phones and browsers. Both are compared with
# Keras before they take their place. (On the command line: `python -m export --run=...
# --output_dir=...`.)

# %%
folder = pathlib.Path(tempfile.mkdtemp()) / "digits"
export.export_model(
    model, folder, name="digits", quantize=("int8",), tflite_signatures=("decode", "sample")
)
for file in sorted(folder.rglob("*")):
    if file.is_file():
        print(f"{file.stat().st_size:9,} bytes  {file.relative_to(folder)}")

# %% [markdown]
# ## Server
#
# TF Serving loads the folder `saved_model/digits`; the export's README has the line that starts
# it and a `curl` line for each signature. TensorFlow loads it alone, too:

# %%
version = max((folder / "saved_model" / "digits").iterdir())
served = tf.saved_model.load(str(version)).signatures["sample"]
from_server = served(seed=tf.constant([[7, 0]]))["image"].numpy()

# %% [markdown]
# ## Phone
#
# LiteRT runs the TFLite file: here in Python, on Android in Kotlin, on iOS in Swift
# (`export/mobile`). `sample_1` is the signature for one image.

# %%
from ai_edge_litert.interpreter import Interpreter  # noqa: E402

images = {}
for file in sorted((folder / "tflite").glob("*.tflite")):
    sample = Interpreter(str(file)).get_signature_runner("sample_1")
    images[file.stem] = sample(seed=np.array([[7, 0]], np.int32))["image"]

# %% [markdown]
# ## Browser
#
# LiteRT.js runs the same file. `python -m export.demo --export_dir=...` serves a page that shows
# the 64 images of a seed, a slider for each latent dimension, and a path between two seeds.
#
# ## The same picture
#
# Keras, the server's file, and the TFLite files (float32, int8), for the seed [7, 0]:

# %%
keras_image = model.generate(np.array([[7, 0]], np.int32)).numpy()
vae_zoo.show(np.concatenate([keras_image, from_server, *images.values()]), columns=2 + len(images))

# %% [markdown]
# ## Checks

# %%
np.testing.assert_allclose(from_server, keras_image, atol=1e-5)
np.testing.assert_allclose(images["digits-float32"], keras_image, atol=1e-4)
assert np.abs(images["digits-int8"] - keras_image).mean() < 0.02
