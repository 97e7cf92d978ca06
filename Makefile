# What people and `.ci/run` call. `make` alone lists the targets.
#
# Needs Rust, a C++ compiler and python3 with pip. Everything that is fetched lands in git-ignored folders of this clone,
# or where the variables below say. Every target may be repeated: what is there already is kept.

.DEFAULT_GOAL := help
.SUFFIXES:
# Cargo uses all cores by itself and locks its folder: two targets at once would only wait for one another.
.NOTPARALLEL:

PYTHON ?= python3
CARGO ?= cargo

# A path given relative to this folder, made whole: cargo and build scripts run elsewhere. Spaces are allowed.
whole = $(if $(filter /%,$(1)),$(1),$(CURDIR)/$(1))

CARGO_TARGET_DIR ?= target
LIBTORCH_HOME ?= .libtorch
READERS_VENV ?= .readers
override CARGO_TARGET_DIR := $(call whole,$(CARGO_TARGET_DIR))
override LIBTORCH_HOME := $(call whole,$(LIBTORCH_HOME))
override READERS_VENV := $(call whole,$(READERS_VENV))

# A libtorch that is already here wins, and nothing is fetched.
ifneq ($(LIBTORCH),)
libtorch_is_given := yes
override LIBTORCH := $(call whole,$(LIBTORCH))
else
override LIBTORCH := $(LIBTORCH_HOME)/torch
endif

export PYTHON CARGO_TARGET_DIR LIBTORCH
# Python leaves nothing in the tree.
export PYTHONDONTWRITEBYTECODE := 1

binary := $(CARGO_TARGET_DIR)/debug/batch-infer
date := 2026-11-19
say := @printf '\n== %s\n'

.PHONY: help
help: ## list the targets
	@printf 'make demo     is the place to start; make test is the second.\n\n'
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@printf '\nFolders: CARGO_TARGET_DIR, LIBTORCH_HOME, READERS_VENV. A LIBTORCH already set is used as it is.\n'

.PHONY: demo
demo: debug ## score one date of sample_data with the fraud model and show the first predictions
	$(say) 'scoring sample_data for $(date) with jobs/fraud-detector.toml'
	"$(binary)" run --job jobs/fraud-detector.toml --date $(date)
	$(say) 'first rows of predictions/fraud-detector/date=$(date)'
	"$(binary)" head predictions/fraud-detector/date=$(date)/part-00000.parquet

.PHONY: test
test: readers debug ## run all tests: Rust, the output in the hands of its readers, what is deployed, and a small campaign of failures
	$(say) 'testing: Rust'
	BATCH_INFER_READERS_PYTHON="$(READERS_VENV)/bin/python" $(CARGO) test --locked --features failpoints
	$(say) 'testing: the output in the hands of its readers'
	BATCH_INFER_BIN="$(binary)" "$(READERS_VENV)/bin/python" -m pytest -q -p no:cacheprovider tests/readers
	$(say) 'testing: what is deployed'
	BATCH_INFER_BIN="$(binary)" "$(READERS_VENV)/bin/python" -m pytest -q -rs -p no:cacheprovider tests/deploy
	$(say) 'testing: killed, stopped, crowded, cut off and out of disk'
	BATCH_INFER_BIN="$(binary)" "$(READERS_VENV)/bin/python" -m pytest -q -p no:cacheprovider tests/campaign

# Sizes, seed and stores pass through: make campaign T1=1000 T4=5000 SEED=7 STORE=s3 MINUTES=30. Without sizes, the long ones.
# T5 reads damaged Parquet files; T7=all compares the fires of all time zones over twelve years with another program's reading; T10=900 lets a
# daemon run for so many seconds, with jobs that fire each minute of a faster clock and runs that are killed. None of them needs a store.
sizes := $(strip $(foreach test,T1 T2 T3 T4 T8 T9 T10-state,$(if $($(test)),$(test)=$($(test)))))
asked := $(T5)$(T7)$(T10)$(sizes)
.PHONY: campaign
campaign: readers debug ## prove that publishing survives kills, crowds, faults and full disks, and reading damage; takes hours, or MINUTES=30
	$(say) 'campaign: damaged files, times, a daemon, killed, stopped, crowded, cut off and out of disk'
	$(if $(T5)$(if $(asked),,all),$(CARGO) test --locked --features failpoints --test mutants -- \
		--count $(or $(T5),10000000) --seed $(or $(SEED),1) $(if $(MINUTES),--minutes $(MINUTES)))
	$(if $(T7)$(if $(asked),,all),BATCH_INFER_T7=$(or $(T7),all) $(CARGO) test --locked --features failpoints --test it -- --nocapture schedule::oracle)
	$(if $(T10)$(if $(asked),,all),BATCH_INFER_T10=$(or $(T10),900) $(CARGO) test --locked --features failpoints --test it -- --nocapture daemon::ends::daemon_stays)
	$(if $(sizes)$(if $(asked),,all),CARGO="$(CARGO)" BATCH_INFER_BIN="$(binary)" "$(READERS_VENV)/bin/python" tests/campaign/campaign.py $(sizes) \
		$(if $(SEED),--seed $(SEED)) $(if $(STORE),--store $(STORE)) $(if $(MINUTES),--minutes $(MINUTES)))

.PHONY: build
build: libtorch ## build the release binary, $CARGO_TARGET_DIR/release/batch-infer
	$(say) 'compiling with the release profile; the first time takes long'
	$(CARGO) build --locked --release
	@printf '\n%s\n' "$(CARGO_TARGET_DIR)/release/batch-infer"

# The cheap steps first. Clippy and rustdoc share what they learn of the dependencies.
.PHONY: check
check: libtorch ## check format, lints, documentation, and one version of each crate that must be one
	$(say) 'checking: one version of arrow, parquet, object_store and reqwest'
	.ci/one-version
	$(say) 'checking: no addresses of package indexes'
	.ci/no-index-hosts
	$(say) 'checking: format'
	$(CARGO) fmt --check
	$(say) 'checking: lints; the first time reads all dependencies'
	$(CARGO) clippy --locked --all-targets --features failpoints -- -D warnings
	$(CARGO) clippy --locked --lib -- -D warnings
	$(say) 'checking: documentation'
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --document-private-items

# PEERS: a folder with the scripts that run other programs (run.py, limits.py), and PEERS_PYTHON: a python that has what they need.
.PHONY: bench
bench: libtorch ## measure each stage and, with PEERS=folder, the whole beside other programs; results below $CARGO_TARGET_DIR
	$(say) 'compiling with the bench profile; the first time takes long'
	$(CARGO) bench --locked
ifdef PEERS
	$(say) 'comparing with other programs'
	$(CARGO) build --locked --release
	benches/compare --peers "$(PEERS)" --python "$(or $(PEERS_PYTHON),$(PYTHON))" --floor --out "$(CARGO_TARGET_DIR)/compared.md"
endif

.PHONY: libtorch
libtorch: ## fetch libtorch once, into LIBTORCH_HOME (default .libtorch)
ifdef libtorch_is_given
	@printf 'libtorch: using LIBTORCH=%s\n' "$(LIBTORCH)"
else
	@scripts/libtorch "$(LIBTORCH_HOME)"
endif

.PHONY: readers
readers: ## install DuckDB, Polars, PyArrow and pandas once, into READERS_VENV (default .readers)
	@scripts/readers "$(READERS_VENV)"

.PHONY: clean
clean: ## remove what these targets made below this folder, and nothing outside it
	rm -rf target .libtorch .libtorch.* .readers .readers.*
	rm -rf predictions/fraud-detector predictions/fraud-detector.batch-infer

# The binary of the dev profile, which the demo and the tests share. It has the points at which tests kill it; a release has none.
.PHONY: debug
debug: libtorch
	@[ -x "$(binary)" ] || printf '\n== compiling; the first time takes about 10 minutes on 2 cores\n'
	$(CARGO) build --locked --features failpoints
