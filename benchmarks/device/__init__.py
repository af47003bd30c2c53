"""What runs on a machine that has no TensorFlow; `python -m benchmarks program` copies it there.

Plain scripts, next to each other: they import nothing of vae_zoo.
"""
