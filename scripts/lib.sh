# shellcheck shell=bash disable=SC2034
# What the scripts beside this file share. Sourced, never run.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
CACHE=$(realpath -m "${RUST_RAMOOPS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/rust_ramoops}")
SUITE=trixie

# die WHAT [WHAT-TO-DO...]: one argument per line.
die() {
	printf 'error: %s\n' "$1" >&2
	shift
	[ $# -eq 0 ] || printf '       %s\n' "$@" >&2
	exit 1
}

# series SUPPORT: the kernel series with that support (tested, build-tested), or all of them and of the other suites.
series() {
	awk -v support="$1" '!/^#/ && (support == "all" || $2 == support) { print $1 }' "$TOP/scripts/series"
}

# series_of RELEASE: the series of a kernel (7.3 for 7.3.4+deb13-amd64).
series_of() {
	cut -d . -f 1,2 <<<"${1%%[!0-9.]*}"
}

# hash_of FILE...: changes when the files do, comments and empty lines apart.
hash_of() {
	sed '/^[[:space:]]*\(#\|$\)/d' "$@" | sha256sum | cut -c1-16
}

# run_step LOG LABEL COMMAND...: runs COMMAND with its output in LOG, and shows LABEL with the time that it takes.
# On a terminal that is one line that keeps counting; elsewhere a line now and then, so that nobody thinks it hangs.
run_step() {
	local log=$1 label=$2 start=$SECONDS next=2 now rc=0
	shift 2
	# The command must not outlive this script, even when this script is killed.
	setpriv --pdeathsig KILL "$@" >"$log" 2>&1 </dev/null &
	step_pid=$!
	trap 'kill -KILL "$step_pid" 2>/dev/null || true; echo; echo "interrupted" >&2; exit 130' INT TERM HUP
	while kill -0 "$step_pid" 2>/dev/null; do
		sleep 0.2
		now=$((SECONDS - start))
		[ "$now" -ge "$next" ] || continue
		if [ -t 1 ]; then
			printf '\r\033[K%s ... %s s' "$label" "$now"
			next=$((now + 1))
		else
			printf '%s ... %s s\n' "$label" "$now"
			next=$((now + 30))
		fi
	done
	wait "$step_pid" || rc=$?
	trap - INT TERM HUP
	[ ! -t 1 ] || printf '\r\033[K'
	if [ "$rc" -eq 0 ]; then
		printf '%s ... done, %s s\n' "$label" $((SECONDS - start))
	else
		printf '%s ... FAILED after %s s\n' "$label" $((SECONDS - start))
	fi
	return "$rc"
}

# show_log LOG [LINES]: the end of a failed step's log, and where the rest is.
show_log() {
	printf -- '--- the last lines of %s\n' "$1" >&2
	# No control characters for our terminal, and no endless lines.
	tail -n "${2:-20}" "$1" | tr -d '\000-\010\013-\037' | cut -c 1-300 >&2
	printf -- '---\n' >&2
}
