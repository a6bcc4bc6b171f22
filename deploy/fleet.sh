#!/bin/sh
# A bundle and a list of hosts in, submeter on each of them out; any number of times.
#
#   make bundle
#   deploy/fleet.sh node1 root@node2 node3        # installs, upgrades, enables
#   deploy/fleet.sh -f hosts.txt -j 20            # a file of hosts, twenty at once
#   deploy/fleet.sh -c fleet.toml -f hosts.txt    # with this configuration
#   deploy/fleet.sh -n -f hosts.txt               # only says what there is
#
# A host needs ssh, Python >= 3.11, systemd, and a user who is root or may `sudo -n`. What is up to
# date is left alone, so running it again is cheap. Exit 1 if any host failed; each says why.
# SSH="ssh -p 2222" for another ssh.
set -eu

usage() { sed -n '2,12s/^# \{0,1\}//p' "$0"; exit "${1:-2}"; }

here=$(cd "$(dirname "$0")/.." && pwd)
bundle=${BUNDLE:-$here/build/bundle}
hosts='' settings='' jobs=8 dry=''
while getopts f:c:j:nh flag; do
    case $flag in
    f) hosts="$hosts $(sed 's/#.*//' "$OPTARG")" ;;
    c) settings=$OPTARG ;;
    j) jobs=$OPTARG ;;
    n) dry=yes ;;
    h) usage 0 ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
hosts="$hosts $*"
[ -n "$(echo "$hosts" | tr -d ' \n')" ] || usage
[ -r "$bundle/VERSION" ] || { echo "no bundle in $bundle: make bundle" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -C "$bundle" -czf "$work/bundle.tar.gz" .
: > "$work/settings"
[ -z "$settings" ] || cp "$settings" "$work/settings"

# What is done on each host. Its one line of output is the host's result.
cat > "$work/remote" <<'REMOTE'
set -eu
version=$1 wanted=$2 dry=$3
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
here=$(cat /opt/submeter/current/VERSION 2> /dev/null || echo none)
now=$(cksum 2> /dev/null < /etc/submeter/submeter.toml || echo none) # in this order: else sh says it
state=$(systemctl is-active submeter || true)
[ -z "$dry" ] || { echo "has $here, $state"; exit 0; }
if [ "$here" = "$version" ] && [ "$state" = active ] && { [ -z "$wanted" ] || [ "$now" = "$wanted" ]; }
then echo 'up to date'; exit 0; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -C "$work" -xzf -
if [ -n "$wanted" ] && [ "$now" != "$wanted" ]; then
    "$work/bin/submeter" config check "$work/settings" > /dev/null
    root install -D -m 644 "$work/settings" /etc/submeter/submeter.toml
fi
root "$work/install.sh" > /dev/null
root systemctl enable --quiet submeter
if [ "$state" != active ]; then root systemctl start submeter
elif [ -n "$wanted" ] && [ "$now" != "$wanted" ]; then root systemctl reload submeter; fi
echo "$here -> $version"
REMOTE

one() { # HOST: one line, "HOST: …"; its exit code is the host's
    < "$work/bundle.tar.gz" \
        ${SSH:-ssh -o BatchMode=yes -o ConnectTimeout=10} "$1" \
            "sh -c '$(sed "s/'/'\\\\''/g" "$work/remote")' submeter '$version' '$wanted' '$dry'" \
            > "$work/out.$2" 2>&1 && code=0 || code=$?
    if [ "$code" = 0 ]; then echo "$1: $(tail -n 1 "$work/out.$2")"
    else echo "$1: FAILED ($code): $(tail -n 3 "$work/out.$2" | tr '\n' ' ')"; : > "$work/failed.$2"; fi
}

version=$(cat "$bundle/VERSION")
wanted=''
if [ -n "$settings" ]; then
    wanted=$(cksum < "$work/settings")
    mkdir "$work/tree" && tar -C "$work/tree" -xzf "$work/bundle.tar.gz"
    cp "$work/settings" "$work/tree/settings"
    tar -C "$work/tree" -czf "$work/bundle.tar.gz" .
fi
number=0
for host in $hosts; do
    number=$((number + 1))
    one "$host" "$number" &
    [ $((number % jobs)) -ne 0 ] || wait
done
wait
failed=$(find "$work" -name 'failed.*' | wc -l)
echo "$number host(s), $failed failed"
[ "$failed" = 0 ]
