#!/usr/bin/env bash
# The program as Bazel builds it, as a user would run it: converts the bundled network, looks at the file and runs it.
#   command_line.sh PROGRAM MODEL CALIBRATION LABELLED
set -euo pipefail
tfmpq=$PWD/$1 model=$PWD/$2 calibration=$PWD/$3 labelled=$PWD/$4
cd "$(TMPDIR=${TEST_TMPDIR:-${TMPDIR:-}} mktemp -d)"

"$tfmpq" --version
"$tfmpq" convert --model "$model" --data "$calibration" --max_samples 16 --output small.tflite --html small.html --noprogress
grep -q "<title>small.tflite</title>" small.html
"$tfmpq" inspect small.tflite | grep "INT4"
"$tfmpq" evaluate small.tflite --data "$labelled" --noprogress
if "$tfmpq" convert --model missing.keras --data "$calibration" --output none.tflite --noprogress 2>error.txt; then
    echo "a missing model was converted" >&2
    exit 1
fi
grep -q "missing.keras" error.txt
test ! -e none.tflite
