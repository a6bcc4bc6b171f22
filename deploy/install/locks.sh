# shellcheck shell=sh
# For bundle.sh and wheels.sh: what pip is told, so that everything is what locks/ names by hash.

# CHECKOUT EXTRAS: `-r FILE` for the agent and each of the extras.
locks() {
    printf -- '-r %s ' "$1/locks/agent.txt"
    for each in $(echo "$2" | tr ',' ' '); do
        [ -e "$1/locks/$each.txt" ] || { echo "there is no extra $each" >&2; exit 1; }
        printf -- '-r %s ' "$1/locks/$each.txt"
    done
}

# CHECKOUT SCRATCH COMMAND...: the command, with what builds a wheel there by hash as well.
with_backend() {
    checkout=$1
    mkdir -p "$2"
    scratch=$(cd "$2" && pwd) # pip builds elsewhere
    shift 2
    # shellcheck disable=SC2154,SC2086  # pip is a command line, set by who sources this
    $pip install --quiet --no-compile --target "$scratch" --require-hashes -r "$checkout/locks/build.txt"
    PYTHONPATH=$scratch "$@"
    rm -rf "$scratch"
}
