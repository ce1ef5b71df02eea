#!/usr/bin/env bash
# What to ask of a GPU that is at hand for fifteen minutes, in the order of worth.
#
#     benchmarks/gpu.sh [DIR]              keeps figures in DIR (default: results/speed)
#     benchmarks/gpu.sh --rehearse DIR     the same on a CPU, small and once
#
# Each figure is printed as soon as it is measured, and kept for `stsm bench page`. All ends within
# SECONDS_IN_ALL (600), installation included: what takes longer is cut off, what does not fit is left
# out, and what fails does not stop the rest.
set -uo pipefail
cd "$(dirname "$0")/.."

rehearse=
if [[ ${1-} == --rehearse ]]; then
  rehearse=yes
  shift
fi
keep=${1:-results/speed}
in_all=${SECONDS_IN_ALL:-600}
device=(--device "${DEVICE:-cuda}")
shift_size=() train_size=() read_size=()
if [[ $rehearse ]]; then
  device=(--device cpu)
  shift_size=(--rounds 1 --frames 2 --size 64)
  train_size=(--rounds 1 --workers 0 --set optim.batch_size=2 --set precision=fp32)
  read_size=(--rounds 1 --videos 1)
fi

program=(stsm)
if ! command -v stsm > /dev/null; then
  program=(python3 -m stsm_cli)
  if ! "${program[@]}" --version > /dev/null 2>&1; then
    python3 -m venv --system-site-packages build/gpu && timeout "$in_all" build/gpu/bin/pip install --quiet .
    program=(build/gpu/bin/stsm)
  fi
fi

failed=0
measure() { # the most seconds it may take, then the command's words
  local most=$1 left=$((in_all - SECONDS))
  shift
  if [[ $rehearse && " $* " == *" --compile "* ]]; then
    echo "left out, a CPU compiles for minutes: stsm bench $*"
    return
  fi
  if ((left < 15)); then
    echo "left out, $left s are left: stsm bench $*"
    return
  fi
  echo "== stsm bench $* ($left s are left)"
  timeout --signal=INT --kill-after=10 $((most < left ? most : left)) \
    "${program[@]}" bench "$@" --save "$keep" < /dev/null
  local code=$?
  if ((code)); then
    failed=1
    echo "ended with $code: stsm bench $*"
  fi
}

measure_shift() { measure "$@" "${device[@]}" "${shift_size[@]}"; }
measure_train() { measure "$@" "${device[@]}" "${train_size[@]}"; }

# the shift's price, as recipes train and test; what a training takes; the same compiled
measure_shift 120 shift --layout channels-last --rounds 30
measure_train 120 train k400/stsm_r50_8f --rounds 30 --set precision=bf16
measure_shift 240 shift --layout channels-last --rounds 30 --compile
measure_train 120 train sthv2/stsm_r50_8f --rounds 30 --set precision=bf16 --compile
measure_train 120 train k400/tsn_r50_8f --rounds 20 --set precision=bf16
measure_shift 120 shift --layout contiguous --rounds 20
measure 120 reading --rounds 15 "${read_size[@]}" # beside the GPU

"${program[@]}" bench page "$keep" || failed=1
exit "$failed"
