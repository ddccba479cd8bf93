# Everything a newcomer, a developer and CI type. Each target first installs what is missing (scripts/setup); the
# recipes are scripts, so that they run without make, too.
.PHONY: help setup demo test conformance bench compare cachefs notifications interrupts sessions handover capi cross missing newcomer packages matrix mutants
.NOTPARALLEL:

help: ## say what there is
	@sed -n 's/^\([a-z]*\):[^#]*## /\1 /p' Makefile | while read -r t what; do printf '  make %-12s %s\n' "$$t" "$$what"; done

setup: ## install what building and testing needs and is missing here
	@scripts/setup

demo: setup ## mount the tmpfs example, run a real workload on it, compare what comes back
	@scripts/demo

test: setup ## the whole suite: formatting, lints, tests, documentation, packages
	@scripts/test

conformance: setup ## pjdfstest and fsx on the examples that store files, and the passthrough ones call by call next to their source (as root)
	@scripts/conformance

bench: setup ## requests per second and CPU per request, next to the same file system in C
	@scripts/bench

compare: setup ## the ports next to the examples of llfuse and pyfuse3, which are installed from PyPI
	@scripts/compare-llfuse

cachefs: setup ## the cachefs example for ten minutes: its figures, and whether anything is lost
	@scripts/cachefs

handover: setup ## servers that are replaced and killed under fsx, git, tar and a writer, for half an hour: nobody may notice (as root)
	@scripts/handover

notifications: setup ## a thousand sessions that end with notifications on their way: as they are, with ASan, under valgrind (as root)
	@scripts/notifications

interrupts: setup ## a hundred thousand calls in each style, of clients that get a signal each millisecond: none may fail with EINTR
	@scripts/interrupts

sessions: setup ## a hundred sessions with each option: no descriptor, thread, process or mount is left (as root)
	@scripts/sessions

mutants: setup ## change the lock, what is built on it, and answers, one place after the other: the tests have to notice (hours)
	@scripts/mutants

cross: setup ## aarch64 under qemu, and musl, in a Debian 13 chroot: units, headers, wire tests (as root)
	@scripts/cross

capi: setup ## the C library, installed by cargo-c, and its C examples under valgrind and with ASan (as root)
	@scripts/capi

matrix: setup ## build and test with each libfuse: Debian 11, 12, 13 and sid in chroots, from source, each layout, io_uring (as root)
	@scripts/matrix

missing: setup ## what cargo build says to who lacks pkg-config, libfuse 3, libclang .., in chroots (as root)
	@scripts/missing

newcomer: setup ## from git clone to a mounted file system, as the README says, in fresh Debian and Ubuntu chroots (as root)
	@scripts/newcomer

packages: setup ## Debian's and Fedora's packages: built, looked at, tested, installed, mounted, removed (as root)
	@scripts/packages
