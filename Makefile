# SPDX-License-Identifier: GPL-2.0
# `make help` tells the targets. Kbuild, beside this file, is what the kernel's build system reads.

ifndef KDIR
KDIR := $(shell scripts/find-kdir)
endif

# Where the modules are built: here, or in a copy of the sources, so that builds for other kernels and for clippy leave
# this one alone.
BUILD_DIR ?= .

# The sources of the modules, without generated ones.
sources = find . -name '.?*' -prune -o -name target -prune -o -path ./qemu-test -prune -o -path ./bench -prune -o \
	\( -name Kbuild -o -name '*.rs' -o -name '*.h' \) ! -name '*_generated.rs' -print
rust_sources = find . -name '.?*' -prune -o -name target -prune -o -name '*.rs' ! -name '*_generated.rs' -print
quiet = $(if $(V),,@)
kbuild = $(quiet)+$(MAKE) --no-print-directory -C '$(KDIR)' M='$(abspath $(BUILD_DIR))'
# For what this Makefile itself runs in the environment.
enter = scripts/enter make -j$(shell nproc)

modules: ## build rust_ramoops.ko and rust_phram.ko for the kernel of KDIR (default: the running kernel)
	@scripts/check-kdir '$(KDIR)'
ifneq ($(BUILD_DIR),.)
	@mkdir -p $(BUILD_DIR)
	@$(sources) | xargs cp --parents --preserve=timestamps -t $(BUILD_DIR)
endif
	$(kbuild) modules

modules-%: ## the same for the newest Debian kernel of a series (make modules-7.2), or for the debug kernel, in .build/SERIES (root)
	@scripts/env $*
	@scripts/enter --for $* make -j$(shell nproc) modules KDIR="$$(scripts/find-kdir $*)" BUILD_DIR=.build/$* $(if $(filter debug,$*),LLVM=-19)

ramoopsctl: ## build the reader, target/release/ramoopsctl
	cargo build --locked --release --package ramoopsctl

demo: ## build everything in an environment of its own, crash a virtual machine, read the log back (root)
	@scripts/env
	@$(enter) modules ramoopsctl
	@scripts/enter scripts/demo

bench: ## measure against the C modules, and write docs/bench.md; BENCH="dump kept" measures some of it only (root)
	@scripts/env
	@$(enter) modules ramoopsctl
	@scripts/enter python3 bench/bench.py $(BENCH)

test: ## what a change has to pass, in the same environment: 6 to 12 minutes, up to 15 more at the first time; scripts/test STEP... runs some of it (root)
	@scripts/test

test-all: ## that, and all that takes longer: hours; scripts/test --all STEP... runs some of it (root)
	@scripts/test --all

test-debug: modules-debug ## every kind of crash, on a kernel with KASAN, lockdep and more; MATRIX=FILE writes the table (root)
	@$(enter) ramoopsctl
	@scripts/enter env KDIR="$$(scripts/find-kdir debug)" python3 -m pytest qemu-test/debug -n $(DEBUG_GUESTS) \
		--dist=worksteal $(if $(MATRIX),--matrix='$(abspath $(MATRIX))')

# A guest has two CPUs.
DEBUG_GUESTS ?= $(shell expr \( $$(nproc) + 1 \) / 2)

fuzz_targets = $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
SECONDS ?= 3600

fuzz: ## fuzz the record store, each target for so many SECONDS (3600), in the same environment (root)
	@scripts/env extras
	@for target in $(fuzz_targets); do scripts/enter fuzz/run $$target $(SECONDS) || exit 1; done

mutants: ## which changes of the record store do its tests not notice? hours; MUTANTS=--iterate goes on (root)
	@scripts/env extras
	@scripts/mutants $(MUTANTS)

torture: ## hundreds of resets into a storm of oopses: make torture RESETS=500 SEED=1 (root)
	@scripts/env
	@$(enter) modules
	@scripts/enter python3 -m pytest qemu-test/test_torture.py -n 0 -s -m long --resets=$(or $(RESETS),500) --seed=$(or $(SEED),$$(date +%s))

series: ## write the patch series that puts all this into a kernel tree, to .build/patches (root)
	@scripts/env
	@scripts/enter bash -c 'scripts/patch-series /usr/src/linux-source-*.tar.xz .build/patches'

kdir: ## build what Debian's kernel headers lack for Rust modules, for the running kernel
	@scripts/kdir

# The kernel that the modules were built for, which need not be the running one.
release = $$(modinfo -F vermagic rust_ramoops.ko | cut -d ' ' -f 1)

# Where the reader goes.
PREFIX ?= /usr/local
ctl = target/release/ramoopsctl
share = $(DESTDIR)$(PREFIX)/share

install: ## install the modules, an example for /etc/modprobe.d in /usr/share/doc/rust_ramoops, and the reader (root)
	@test -e rust_ramoops.ko -a -e rust_phram.ko || { echo 'error: nothing to install; run make first.' >&2; exit 1; }
	install -D -m 644 -t "$(DESTDIR)/lib/modules/$(release)/updates" rust_ramoops.ko rust_phram.ko
	install -D -m 644 -t "$(DESTDIR)/usr/lib/udev/rules.d" packaging/udev/60-rust_phram.rules
	install -D -m 644 -t "$(DESTDIR)/usr/lib/modprobe.d" packaging/modprobe.d/ramoops-or-rust_ramoops.conf
	install -D -m 644 -t "$(DESTDIR)/usr/share/doc/rust_ramoops" packaging/modprobe.d/rust_ramoops.conf
	test -n "$(DESTDIR)" || depmod "$(release)"
	@test -e $(ctl) || echo 'note: the reader is not built; `make ramoopsctl`, then `make install-ramoopsctl`.'
	@test ! -e $(ctl) || $(MAKE) --no-print-directory install-ramoopsctl

install-ramoopsctl: ## install the reader alone, with man pages and completions, below PREFIX (/usr/local) (root)
	@test -e $(ctl) || { echo 'error: nothing to install; run make ramoopsctl first.' >&2; exit 1; }
	install -D -m 755 -t "$(DESTDIR)$(PREFIX)/sbin" $(ctl)
	$(ctl) man "$(share)/man/man8"
	mkdir -p "$(share)/bash-completion/completions" "$(share)/zsh/site-functions" "$(share)/fish/vendor_completions.d"
	$(ctl) completions bash >"$(share)/bash-completion/completions/ramoopsctl"
	$(ctl) completions zsh >"$(share)/zsh/site-functions/_ramoopsctl"
	$(ctl) completions fish >"$(share)/fish/vendor_completions.d/ramoopsctl.fish"

uninstall: ## remove what install installed, for every kernel (root)
	@for module in "$(DESTDIR)"/lib/modules/*/updates/rust_ramoops.ko; do \
		test -e "$$module" || continue; \
		updates=$${module%/*}; release=$${updates%/*}; \
		rm -fv "$$module" "$$updates/rust_phram.ko"; \
		test -n "$(DESTDIR)" || depmod "$${release##*/}"; \
	done
	@rm -rf "$(DESTDIR)/usr/share/doc/rust_ramoops" "$(DESTDIR)/usr/lib/udev/rules.d/60-rust_phram.rules" \
		"$(DESTDIR)/usr/lib/modprobe.d/ramoops-or-rust_ramoops.conf"
	@rm -fv "$(DESTDIR)$(PREFIX)/sbin/ramoopsctl" "$(share)/man/man8/ramoopsctl.8" "$(share)"/man/man8/ramoopsctl-*.8 \
		"$(share)/bash-completion/completions/ramoopsctl" "$(share)/zsh/site-functions/_ramoopsctl" \
		"$(share)/fish/vendor_completions.d/ramoopsctl.fish"

fmt: ## format all Rust sources
	$(quiet)$(rust_sources) | xargs rustfmt --config-path .rustfmt.toml

check: check-fmt clippy check-shell check-panic check-stack check-unsafe ## all checks that run nothing (in the environment: scripts/enter make check)

check-fmt: ## are all Rust sources formatted?
	$(quiet)$(rust_sources) | xargs rustfmt --check --config-path .rustfmt.toml

clippy: clippy-modules clippy-cargo ## the kernel's lints for the modules, clippy's for the cargo packages; warnings are errors

clippy-modules:
	@$(MAKE) --no-print-directory modules BUILD_DIR=.build/clippy CLIPPY=1 KRUSTFLAGS=-Dwarnings

clippy-cargo:
	cargo clippy --locked --release --all-targets -- -D warnings

shell_scripts = grep -rlE '^\#!/bin/(ba)?sh|^\# shellcheck shell=' .ci fuzz/run packaging qemu-test scripts

check-shell: ## shellcheck
	$(quiet)$(shell_scripts) | xargs shellcheck --external-sources --source-path=SCRIPTDIR

# A module links to the kernel's core crate at load time, so a path to a panic is an undefined symbol.
check-panic: modules ## no path in the modules leads to a Rust panic
	@for module in rust_ramoops.ko rust_phram.ko; do \
		symbols=$$(nm -u "$$module") || exit 1; \
		if echo "$$symbols" | grep -E ' (_R|_ZN).*(panic|_fail(ed)?(E|$$|17h))| rust_build_error'; then \
			echo "error: $$module can panic: it needs the symbols above." >&2; exit 1; \
		fi; \
	done

check-stack: modules ## no frame of ours is large, and little stack is needed in a crash
	@scripts/check-stack rust_ramoops.ko rust_phram.ko

# From clean, because only then every warning shows.
check-warnings: clean-modules ## the modules build without a warning
	@mkdir -p .build
	@$(MAKE) --no-print-directory modules 2>&1 | tee .build/modules.log
	@test -e $(BUILD_DIR)/rust_ramoops.ko -a -e $(BUILD_DIR)/rust_phram.ko
	@! grep -i warning .build/modules.log

# Comments may speak of it.
check-unsafe: ## `unsafe` only in linux/
	@$(rust_sources) | grep -v '^./linux/' | xargs awk '{ code = $$0; sub("//.*", "", code) } \
		code ~ /(^|[^A-Za-z0-9_])unsafe([^A-Za-z0-9_]|$$)/ { print FILENAME ":" FNR ": " $$0; bad = 1 } END { exit bad }' || \
		{ echo 'error: unsafe outside linux/ (lines above).' >&2; exit 1; }

clean: clean-modules ## remove everything that was built in this folder (the environment stays: see scripts/env)
	rm -rf .build target test-logs

clean-modules:
	@mkdir -p $(BUILD_DIR)
	$(quiet)find $(BUILD_DIR) -path ./.git -prune -o -path ./.build -prune -o -name target -prune -o \
		\( -name '*.o' -o -name '*.ko' -o -name '.*.cmd' -o -name '*.mod' -o -name '*.mod.c' -o -name 'modules.order' -o -name 'Module.symvers' -o \
		-name '*_generated.rs' -o -name '.*.d' \) -type f -exec rm -f {} +

help: ## this text
	@echo 'make TARGET [KDIR=kernel build directory] [V=1]'
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo 'scripts/enter COMMAND runs any of them, or anything else, in the environment of demo and test.'

.PHONY: modules ramoopsctl demo bench test test-all test-debug fuzz mutants torture series kdir install install-ramoopsctl uninstall fmt check \
	check-fmt clippy clippy-modules clippy-cargo check-shell check-panic check-stack check-unsafe check-warnings clean clean-modules help
