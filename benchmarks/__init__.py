"""Benchmarks: each writes one JSON under results/, of which `report` makes RESULTS.md.

python -m benchmarks                      lists what there is
python -m benchmarks peers --smoke        runs one, quickly
python -m benchmarks report               writes RESULTS.md
python -m benchmarks compare A.json B.json
"""
