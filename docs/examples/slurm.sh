#!/bin/bash
# Four workers, one on each machine, train one model: sbatch docs/examples/slurm.sh
# The folder of the run and the data lie where all machines see them.
#SBATCH --job-name=vae_zoo
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
set -euo pipefail

PORT=12345
workers=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed "s/.*/\"&:$PORT\"/" | paste -sd,)
export workers

# A job that has lost a worker ends as a whole; the same command goes on from the last epoch.
srun --kill-on-bad-exit=1 bash -c '
  export TF_CONFIG="{\"cluster\": {\"worker\": [$workers]},
    \"task\": {\"type\": \"worker\", \"index\": $SLURM_PROCID}}"
  exec python -m vae_zoo.train --model=conv_vae --dataset=mnist --strategy=multi_worker \
    --batch_size=512 --epochs=50 --output_dir=/shared/runs/conv_vae-mnist
'
