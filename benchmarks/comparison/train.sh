#!/usr/bin/env bash
# Trains every method of benchmarks/comparison/facade.yaml with the same budget: 160 iterations of batch 4 at 128x128, with
# reduced widths, on a CPU. Usage: train.sh DIR OUT [METHOD ...]; DIR holds train/images and test/images.
set -euo pipefail
data=$1 out=$2
shift 2
methods=("$@")
[ ${#methods[@]} -gt 0 ] || methods=(pennet srpnet basenet spl spn gated aff pyramid_256)

narrow() {
    case $1 in
        pennet | srpnet) echo --model.generator.width 16 ;;
        basenet) echo --model.generator.width 16 --model.generator.hidden 64 ;;
        spl | spn) echo --model.generator.width 16 --model.generator.growth 8 --model.generator.hidden 32 ;;
        *) echo --model.generator.width 12 ;;
    esac
}

for method in "${methods[@]}"; do
    # shellcheck disable=SC2046
    inpaintzoo fit --config "configs/$method.yaml" --config "$(dirname "$0")/budget.yaml" --data.root "$data" \
        --model.generator_optimizer.lr 5e-4 --model.discriminator_optimizer.lr 2e-4 $(narrow "$method") \
        --trainer.default_root_dir "$out/$method"
done
