"""Benchmarks: each writes one JSON under results/, of which `report` makes RESULTS.md.

python -m benchmarks                      lists what there is
python -m benchmarks peers --smoke        runs one, quickly
python -m benchmarks report               writes RESULTS.md
python -m benchmarks compare A.json B.json
"""

import sys

# PyTorch's builds for GPUs bring Triton, whose LLVM ends a process that has loaded TensorFlow's
# (a segmentation fault at `import triton`). PyTorch runs here on the CPU, where it needs none.
sys.modules.setdefault("triton", None)
