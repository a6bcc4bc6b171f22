#!/bin/sh
# A bundle (`make bundle`) in, submeter installed or upgraded on this machine; or taken away again.
#
#   ./install.sh               installs, or upgrades without losing a joule; any number of times
#   ./install.sh --uninstall   takes it away; the ledger and /etc/submeter stay
#   ./install.sh --purge       … and these as well
#
# PREFIX=/opt/submeter  where it goes
# DESTDIR=/tmp/stage    puts everything below that, for packages, and starts nothing
# PYTHON=/usr/bin/python3   what runs it, >= 3.11
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd)
PREFIX=${PREFIX:-/opt/submeter}
DESTDIR=${DESTDIR:-}
root=$DESTDIR$PREFIX
local=$DESTDIR/usr/local
unit=$local/lib/systemd/system/submeter.service
users=$DESTDIR/etc/sysusers.d/submeter.conf
command=$local/bin/submeter
settings=$DESTDIR/etc/submeter/submeter.toml

say() { echo "submeter: $*"; }
fail() { echo "submeter: $*" >&2; exit 1; }

# Whether there is a systemd to tell: not while a package is made, and not in a chroot.
live() { [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; }

find_python() {
    for each in ${PYTHON:-/usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11}; do
        path=$(command -v "$each") || continue
        "$path" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' || continue
        echo "$path"
        return
    done
    fail 'needs Python 3.11 or newer: install it, or say PYTHON=/path/to/python3'
}

# Puts a link there in one step: whoever starts submeter meanwhile gets the old one or the new one.
link() { ln -s "$1" "$2.new.$$" && mv -fT "$2.new.$$" "$2"; }

install_version() {
    version=$(cat "$here/VERSION")
    python=$(find_python)
    case $python in /home/* | /root/*)
        say "warning: $python is in a home folder, where the service can't reach it" >&2 ;;
    esac
    new=$root/versions/$version
    if [ ! -d "$new" ]; then
        rm -rf "$root/versions/.new"
        mkdir -p "$root/versions/.new"
        cp -R "$here/bin" "$here/lib" "$here/deploy" "$here/VERSION" "$here/install.sh" "$root/versions/.new/"
        sed -i "1s|.*|#!$python -I|" "$root/versions/.new/bin/submeter"
        # By this machine's Python, and good whatever happens to the files' dates: the service
        # can't write, and compiling at each start takes a second and 10 MB.
        "$python" -I -m compileall -q --invalidation-mode unchecked-hash "$root/versions/.new/lib"
        mv -T "$root/versions/.new" "$new"
    fi
    "$new/bin/submeter" --version > /dev/null || fail "$new does not run"
    if [ -e "$settings" ] && [ -z "$DESTDIR" ]; then
        "$new/bin/submeter" config check "$settings" > /dev/null ||
            fail "this version does not take $settings; nothing was changed"
    fi
}

put() { # FILE TO: with the paths of this installation
    mkdir -p "$(dirname "$2")"
    sed "s|/opt/submeter|$PREFIX|g" "$1" > "$2.new.$$"
    mv -f "$2.new.$$" "$2"
}

install_files() {
    mkdir -p "$root/bin" "$local/bin" "$(dirname "$settings")"
    link ../current/bin/submeter "$root/bin/submeter"
    link "$PREFIX/bin/submeter" "$command"
    put "$new/deploy/systemd/submeter.service" "$unit"
    put "$new/deploy/systemd/submeter.sysusers.conf" "$users"
    [ -e "$settings" ] || cp "$new/deploy/submeter.toml" "$settings"
}

# Restarts it; whether it becomes ready. `systemctl restart` alone would wait for as long as systemd
# goes on trying.
show() { systemctl show --property="$1" --value submeter; }
restarted() {
    systemctl reset-failed submeter 2> /dev/null || true
    systemctl restart --no-block submeter
    for _ in $(seq 90); do
        sleep 1
        case $(show ActiveState)-$(show SubState)-$(show NRestarts) in
        active-running-0) return 0 ;;
        failed-* | *-auto-restart-* | *-[1-9]*) return 1 ;;
        esac
    done
    return 1
}

# Switches to the new version. One that does not become ready is taken back.
switch() {
    old=$(readlink "$root/current" || true)
    link "versions/$version" "$root/current"
    live || return 0
    systemd-sysusers "$users"
    systemctl daemon-reload
    systemctl is-active --quiet submeter || return 0
    if [ "$old" = "versions/$version" ]; then return 0; fi
    restarted && return 0
    [ -n "$old" ] || fail 'does not start: journalctl --unit submeter'
    link "$old" "$root/current"
    put "$root/current/deploy/systemd/submeter.service" "$unit"
    systemctl daemon-reload
    restarted || true
    fail "$version does not start (journalctl --unit submeter); went back to $old"
}

# Keeps the version in use and the one before it, for who wants to go back.
prune() {
    for each in "$root"/versions/*; do
        case versions/${each##*/} in "versions/$version" | "$old") ;; *) rm -rf "$each" ;; esac
    done
}

uninstall() {
    if live; then systemctl disable --now submeter 2> /dev/null || true; fi
    rm -f "$unit" "$users" "$command" "$root/bin/submeter" "$root/current"
    rm -rf "$root/versions"
    rmdir "$root/bin" "$root" 2> /dev/null || true
    if live; then systemctl daemon-reload; fi
    if [ "${1:-}" = purge ]; then
        rm -rf "$DESTDIR/etc/submeter" "$DESTDIR/etc/systemd/system/submeter.service.d" \
            "$DESTDIR/var/lib/private/submeter" "$DESTDIR/var/lib/submeter"
        say 'removed, with its ledger and configuration'
    else
        say 'removed; the ledger in /var/lib/submeter and /etc/submeter were kept'
    fi
}

case ${1:-} in
--uninstall) uninstall ;;
--purge) uninstall purge ;;
'')
    [ -z "${DESTDIR}" ] && [ "$(id -u)" != 0 ] && fail 'must be root (or set DESTDIR)'
    install_version
    install_files
    switch
    prune
    say "$version is installed in $root"
    if live && ! systemctl is-active --quiet submeter; then
        say 'start it now and at each boot: systemctl enable --now submeter'
    fi
    ;;
*) fail "usage: install.sh [--uninstall|--purge], found $1" ;;
esac
