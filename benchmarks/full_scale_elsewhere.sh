#!/bin/bash
# The sample of full_scale.py on a machine that reaches no network and lacks most packages, but has many cores.
#
#   here:   full_scale_elsewhere.sh pack FOLDER LABELLED.onnx     FOLDER/wheels.tar (42 MB) and FOLDER/code.tar (37 MB)
#   there:  tar xf wheels.tar; tar xzf code.tar; bash code/full_scale_elsewhere.sh install
#           bash code/full_scale_elsewhere.sh start SECONDS WORKERS [DEVICES]    e.g. 660 32 cuda:0,cuda:1; "" scores on the CPU
#           bash code/full_scale_elsewhere.sh finish OUT           waits, and leaves at most eight files below 15 MB in OUT
#           bash code/full_scale_elsewhere.sh study WORKERS OUT [OPTIONS]    joins them and leaves the results of `study` in OUT
#
# The machine must have Python 3.12, torch, onnx, onnxruntime, numpy, numba, scipy, pyarrow, pandas, rich and typer. `start` tries
# two units first: numba compiles once for all workers, and each network in PyTorch is compared with ONNX Runtime. A finished
# unit is kept; `start` again goes on. With 32 cores, 660 s should give some 6 /fb and 400 000 QCD events (an estimate).
set -e

wheels="annotated-types awkward awkward-cpp boost-histogram cachetools coffea correctionlib cramjam fastjet hist histoprint \
importlib-metadata lazy-importer lazy-loader loky lz4 platformdirs pydantic pydantic-core pythia8mc toml typing-inspection uhi \
uproot vector xxhash zipp \
pyhf jsonschema jsonschema-specifications referencing rpds-py attrs jsonpatch jsonpointer click tqdm pyyaml"

case ${1:-} in
pack)
  folder=$(mkdir -p "$2" && cd "$2" && pwd) labelled=$(realpath "$3") root=$(cd "$(dirname "$0")/.." && pwd)
  stage=$(mktemp -d)
  trap 'rm -rf "$stage"' EXIT
  mkdir -p "$stage/wheels" "$stage/code/models" "$stage/code/benchmarks" "$stage/code/labelled"
  python -m pip freeze --exclude-editable > "$stage/versions"
  for name in $wheels; do
    pinned=$(grep -i -E "^${name//-/[-_]}==" "$stage/versions" || echo "$name")
    python -m pip download --quiet --no-deps --dest "$stage/wheels" --python-version 3.12 --only-binary=:all: \
      --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 "$pinned"
  done
  tar -C "$stage" -cf "$folder/wheels.tar" wheels
  cp -r "$root/src" "$root/processors" "$root/corrections" "$root/pyproject.toml" "$stage/code/"
  cp "$root"/benchmarks/full_scale* "$stage/code/benchmarks/"
  cp "$0" "$stage/code/"
  for model in omnilearned_small_simulation omnilearned_small_reduced_{2,3,4,5}; do
    cp "$root/models/$model.onnx" "$root/models/$model.yaml" "$stage/code/models/"
  done
  cp "$labelled" "$stage/code/labelled/labelled.onnx"
  find "$stage" -name __pycache__ -prune -exec rm -rf {} +
  tar -C "$stage" -czf "$folder/code.tar" code
  ls -l "$folder"
  exit
  ;;
install | start | finish | study) ;;
*)
  sed -n '2,14p' "$0"
  exit 2
  ;;
esac

code=$(cd "$(dirname "$0")" && pwd)
here=$(dirname "$code")
export PYTHONPATH=$here/site:$code/src PYTHIA8DATA=$here/site/share/Pythia8/xmldoc TMPDIR=$here/tmp PYTHONUNBUFFERED=1
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
units=$here/units
mkdir -p "$TMPDIR"
cd "$code"
sample() {
  python3 benchmarks/full_scale.py sample --labelled labelled/labelled.onnx --scratch "$here/scratch" --out "$units" "$@"
}

case $1 in
install)
  python3 -m pip install --quiet --no-index --no-deps --no-compile --target "$here/site" "$here"/wheels/*.whl
  python3 -c "import awkward, coffea, fastjet, numba, onnx, onnxruntime, pandas, pyarrow, pythia8mc, torch, typer"
  ;;
start)
  sample --devices "${4-}" --workers 2 --units 2 --seconds 60
  if [ -e "$units/failed" ]; then cat "$units"/failed/*; exit 4; fi
  # a session of its own: it goes on when the command that began it is over
  export -f sample
  export here units
  setsid bash -c 'echo $$ > "$here/pid"; sample "$@"' sample --devices "${4-}" --workers "$3" --seconds "$2" \
    > "$here/log" 2>&1 < /dev/null &
  sleep 1
  ;;
finish)
  while kill -0 "$(cat "$here/pid")" 2>/dev/null; do sleep 5; done
  cat "$here/log"
  python3 benchmarks/full_scale.py pack "$units" --out "$here/parts" --prefix part --workers 8
  mkdir -p "$2"
  cp "$here"/parts/part-* "$2"
  ;;
study)
  workers=$2 out=$3
  shift 3
  python3 benchmarks/full_scale.py join "$here"/parts/part-*.parquet --out "$here/sample.parquet" --labelled labelled/labelled.onnx
  python3 benchmarks/full_scale.py study "$here/sample.parquet" --out "$here/full_scale.json" --workers "$workers" "$@"
  cp "$here/full_scale.json" "$out"
  ;;
esac
