# `make` alone lists the targets. `make test` is what CI runs.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

.PHONY: test
test: check test-rust test-features test-doc test-c test-python ## set up and run all tests
	@echo "make test: all passed"

.PHONY: check
check: ## formatting and lints
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings

.PHONY: peers
peers: ## fetch the programs that the tests compare with
	scripts/get-ggml
	scripts/get-models

.PHONY: test-rust
test-rust: peers ## the Rust tests
	cargo test --quiet --workspace --lib --bins --tests

.PHONY: test-doc
test-doc: ## the examples in the documentation
	cargo test --quiet --workspace --doc
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps

.PHONY: test-features
test-features: ## the core without features, and with each alone
	cargo check --quiet -p quantlib-core --no-default-features
	cargo check --quiet -p quantlib-core --no-default-features --features hf

.PHONY: test-c
test-c: ## the C and C++ programs, under valgrind
	scripts/test-c

.PHONY: python
python: ## build the Python package into .venv
	scripts/build-python

.PHONY: test-python
test-python: peers python ## the Python tests and stubs
	scripts/test-python

.PHONY: bench
bench: ## measure against the peers, and record the tables; `make bench ARGS=--quick` takes a minute
	scripts/bench $(ARGS)

.PHONY: header
header: ## write include/quantlib.h
	QUANTLIB_REGENERATE=1 cargo test --quiet -p quantlib-ffi --test header

.PHONY: format
format: ## format all code
	cargo fmt --all

.PHONY: clean
clean: ## remove what was built and fetched
	rm -rf target .venv .venv-bench .peers
