# Everything runs in a local virtual environment, set up on first use; a package registry is all it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_OUTPUT ?= demo_output

.PHONY: venv demo check test nightly-test lint format docs examples pictures notebooks wheel-test release coverage native html-test \
	android-test apk arm-check bazel-test compat clean \
	fuzz fuzz-kills fuzz-options fuzz-graphs

venv: $(STAMP)

# Redone when the dependencies change; an environment that is already there is completed, not replaced.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev,plot]'
	touch $@

demo: venv
	$(BIN)/tfmpq demo --output $(DEMO_OUTPUT)

# While working: a few minutes on two cores.
check: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test: venv
	$(BIN)/python -m pytest -n 2 --dist worksteal

# What looks again at what other tests see: a minute each (other BLAS kernels, mutants, long trainings), or one more variant.
nightly-test: venv
	$(BIN)/python -m pytest -n 2 --dist worksteal -m nightly

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

format: venv
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# The documentation as a site under build/site; warnings are errors.
DOCS_STAMP := $(VENV)/.docs_installed

docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "read it: $(BIN)/python -m http.server --directory build/site"

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

# All its examples, those too that take minutes and that `make test` leaves out.
examples: venv
	ALL_EXAMPLES=1 $(BIN)/python -m pytest -n 2 tests/tools/docs

# Its notebooks, from top to bottom, with their outputs; NOTEBOOKS=--check keeps nothing.
NOTEBOOKS ?=

notebooks: $(DOCS_STAMP)
	$(BIN)/python -m tools.docs.notebooks $(NOTEBOOKS)

# Its drawings, and the figures of docs/compare as the README's picture.
pictures: venv
	$(BIN)/python -m tools.docs.pictures

# The wheel: built, checked, and used outside of this checkout, with the dependencies of this environment.
# WHEEL_FLAGS=--quick leaves out the demo and a measured target, which take minutes.
WHEEL_FLAGS ?=

wheel-test: venv
	rm -rf build/lib
	$(BIN)/python -m tools.release --output dist $(WHEEL_FLAGS)

# A release is a tag: this says what is left to do.
release: venv
	@test -z "$$(git status --porcelain)" || { echo "make release needs a checkout without changes: commit or stash them" >&2; exit 1; }
	rm -rf build/lib dist
	$(BIN)/python -m tools.release --output dist
	@version="$$($(BIN)/tfmpq --version)"; grep -q "^## \[$$version\]" CHANGELOG.md || \
		{ echo "CHANGELOG.md has no section [$$version]: name the unreleased one so, with the date" >&2; exit 1; }; \
		echo "next: git tag -a v$$version -m v$$version && git push origin v$$version"

# How much of the code the whole suite runs; CI does it at night.
LEAST_COVERAGE ?= 75

coverage: venv
	$(BIN)/python -m pip install --quiet pytest-cov==7.1.0
	$(BIN)/python -m pytest -n 2 --cov=tfmpq --cov=converters --cov-report=term:skip-covered --cov-fail-under=$(LEAST_COVERAGE)

# The benchmark in C, for the libLiteRt.so of this environment; --library names another one.
NATIVE := build/native/lrt_bench
NATIVE_FLAGS ?= -O2 -Wall -Wextra -Wpedantic
FIND_LIBRARY := import importlib.util as u; print(u.find_spec("ai_edge_litert").submodule_search_locations[0] + "/libLiteRt.so")

native: $(NATIVE)
	@echo "run it: $(NATIVE) A.tflite [B.tflite ...] (--help lists the options)"

$(NATIVE): $(wildcard tools/native/*.[ch]) $(STAMP)
	@command -v $(firstword $(CC)) >/dev/null || { echo "make native needs a C compiler: install gcc or clang, or name yours with CC=..." >&2; exit 1; }
	mkdir -p $(@D)
	library="$$($(BIN)/python -c '$(FIND_LIBRARY)')" && $(CC) -std=c11 $(NATIVE_FLAGS) -DLRT_BENCH_LIBRARY="\"$$library\"" $(filter %.c,$^) -o $@ -lm -ldl

# Pages in a real browser, at two widths, light and dark, and Model Explorer's own reader: pictures lie in build/html.
html-test: venv
	-tools/install_debian.sh chromium=chromium
	$(BIN)/python -m pip install --quiet --editable '.[browser]'
	$(BIN)/python -m pytest tests/tfmpq/html/test_browser.py tests/tfmpq/report/test_node_data.py

# The Android app's code on this machine's JVM, with the real engine; Maven downloads what it needs the first time.
android-test: venv
	tools/install_debian.sh javac=openjdk-17-jdk-headless mvn=maven
	cd android_demo && PATH="$(CURDIR)/$(BIN):$$PATH" mvn --batch-mode --quiet test

# The app without the Android SDK: installs the Debian packages it needs where it may, builds, signs and checks.
APK := android_demo/build/tfmpq-demo.apk

apk:
	android_demo/build_apk.sh $(APK)

# The arm64 library of the APK on an emulated processor: the outputs must be Python's. Skipped without the emulator.
arm-check: venv
	@test -f $(APK) || $(MAKE) apk
	-tools/install_debian.sh qemu-aarch64=qemu-user aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu /usr/aarch64-linux-gnu/include/stdio.h=libc6-dev-arm64-cross
	$(BIN)/python -m tools.android.arm_check $(APK)

# Builds everything with Bazel, and runs one test of each package and the program: pytest runs all tests already.
# BAZEL_FLAGS= runs them all with Bazel too, as CI does at night.
BAZEL_FLAGS ?= --test_tag_filters=smoke

bazel-test: venv
	tools/install_debian.sh bazel=bazel-bootstrap
	PATH="$(CURDIR)/$(BIN):$$PATH" bazel build //...
	PATH="$(CURDIR)/$(BIN):$$PATH" bazel test //... $(BAZEL_FLAGS)

# Where files run: a quarter of an hour, gigabytes of other runtimes under build/compat, and docs/compatibility.md anew.
compat: venv
	-tools/install_debian.sh qemu-aarch64=qemu-user node=nodejs npm=npm
	$(BIN)/python -m tools.compat

# At night: mutants of small files through every command, ended commands, options and networks by chance. What `make fuzz`
# keeps lies in build/fuzz, where the next run goes on; FUZZ_FLAGS are those of `python -m tests.fuzz --help`.
SECONDS ?= 600
KILLS ?= 200
EXAMPLES ?= 200
GRAPHS ?= 500

fuzz: venv
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(FUZZ_FLAGS)

fuzz-kills: venv
	$(BIN)/python -m tests.fuzz.kills --count $(KILLS)

fuzz-options: venv
	EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/fuzz/test_options.py

fuzz-graphs: venv
	GRAPHS=$(GRAPHS) $(BIN)/python -m pytest tests/fuzz/test_graphs.py

# Leaves the environment: it takes minutes to fill. Remove .venv by hand to start over.
clean:
	rm -rf build dist *.egg-info $(DEMO_OUTPUT) .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
