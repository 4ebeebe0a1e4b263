#!/usr/bin/env bash
#SBATCH --job-name=maestro-eval
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@300
#SBATCH --requeue
# One run over the nodes of a Slurm job, on a Ray cluster of its own. Everything after the script's name goes to
# `maestro-eval run` (or to `resume`, if the run folder exists already, as after a requeue):
#
#   sbatch scripts/slurm.sh --policy openai:http://127.0.0.1:8000/v1 --registry mine.yaml --tasks maestro_main \
#       --workers 16 --out $SCRATCH/run
#
# The experts, and a policy behind an endpoint, run elsewhere: in a job of their own (`maestro-eval serve REGISTRY`), at
# addresses that all nodes of this job reach (the registry's urls name that job's nodes, not 127.0.0.1). A policy that
# each worker loads (`--policy vllm:MODEL`) needs none.
#
# Five minutes before the time limit Slurm sends SIGTERM: the run finishes rollouts in flight, commits them and stops;
# the job is then requeued and continues. MAESTRO_VENV names the virtual environment.
set -euo pipefail

environment="${MAESTRO_VENV:-.venv}"
port="${RAY_PORT:-6379}"
out=""
previous=""
for argument in "$@"; do
    case "$previous" in --out | --output_path) out="$argument" ;; esac
    case "$argument" in --out=* | --output_path=*) out="${argument#*=}" ;; esac
    previous="$argument"
done
[ -n "$out" ] || { echo "slurm.sh: give --out DIR on storage that all nodes see" >&2; exit 2; }

# Without its own setting `srun` gives a step one CPU (Slurm 22.05 and newer), regardless of the job's CPUs.
cpus="$SLURM_CPUS_PER_TASK"
steps=()
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head="$(srun --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" hostname --ip-address | awk '{print $1}')"
head_address="$head:$port"

# Nothing is reported to Ray's authors.
export RAY_USAGE_STATS_ENABLED=0
# Ray gives its own daemon half a minute to start, which is too short if the environment is on a busy network disk.
export RAY_raylet_start_wait_time_s="${RAY_raylet_start_wait_time_s:-120}"
# Ray listens on the network of the nodes: clients there need this token, which only this job's processes have.
export RAY_AUTH_MODE="${RAY_AUTH_MODE:-token}"
[ -n "${RAY_AUTH_TOKEN:-}${RAY_AUTH_TOKEN_PATH:-}" ] || RAY_AUTH_TOKEN="$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
export RAY_AUTH_TOKEN
srun --nodes=1 --ntasks=1 --cpus-per-task="$cpus" --nodelist="${nodes[0]}" --overlap \
    "$environment/bin/ray" start --head --node-ip-address="$head" --port="$port" --num-cpus="$cpus" --include-dashboard=false --block &
steps+=("$!")
for node in "${nodes[@]:1}"; do
    srun --nodes=1 --ntasks=1 --cpus-per-task="$cpus" --nodelist="$node" --overlap \
        "$environment/bin/ray" start --address="$head_address" --num-cpus="$cpus" --block &
    steps+=("$!")
done
# Wait for all nodes, because a run that begins on some of them continues, but leaves GPUs idle meanwhile.
up=0
for _ in $(seq 90); do
    up="$("$environment/bin/ray" status --address="$head_address" 2>/dev/null | grep -c '^ *1 node_' || true)"
    [ "$up" -ge "${#nodes[@]}" ] && break
    sleep 2
done
[ "$up" -ge "${#nodes[@]}" ] || echo "slurm.sh: $up of ${#nodes[@]} nodes joined Ray; the run continues with them" >&2

if [ -e "$out/manifest.json" ]; then
    set -- resume "$out" --executor ray --ray-address "$head_address"
else
    set -- run "$@" --executor ray --ray-address "$head_address"
fi
"$environment/bin/maestro-eval" "$@" &
run=$!
trap 'kill -TERM "$run" 2>/dev/null || true' TERM
code=0
wait "$run" || code=$?
# The trap ends the first wait; the run itself may still be committing.
while kill -0 "$run" 2>/dev/null; do
    code=0
    wait "$run" || code=$?
done
# Stop only the processes started here: `ray stop` would end every Ray of this user on the node.
kill "${steps[@]}" 2>/dev/null || true
# 4: interrupted and resumable.
if [ "$code" = 4 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
