#!/bin/sh
# A client of an engine that is a folder ($FAKE_ENGINE): images are files, a build is as slow or as bad as a file says.
#   slow-<image>   the build starts a grandchild and both sleep; their process ids are in building-<image>.*
#   fail-<image>   the build fails as soon as that file has been taken away again, or at once if it holds "now"
set -u
engine=$FAKE_ENGINE
echo "$*" >>"$engine/calls"
for last; do :; done
file=$engine/images/$(echo "$last" | tr '/:' '__')
case "$1 ${2-}" in
"image inspect")
    case $last in *debian-trixie* | *debian-bookworm*) echo sha256:debian; exit 0 ;; esac
    [ -e "$file" ] || exit 1
    cat "$file"
    exit 0
    ;;
esac
case $1 in
build)
    echo "${DOCKER_CONFIG-}" >>"$engine/configurations"
    tag= target= output=
    while [ $# -gt 1 ]; do
        case $1 in
        --tag) tag=$2 ;;
        --target) target=$2 ;;
        --output) output=${2#type=local,dest=} ;;
        esac
        shift
    done
    if [ -n "$output" ]; then
        mkdir -p "$output"
        touch "$output/kind" "$output/helm" "$output/nodekit"
        exit 0
    fi
    name=${target:-$(basename "${tag%:*}")}
    echo "$name" >>"$engine/builds"
    if [ -e "$engine/slow-$name" ]; then
        sh -c 'echo $$ >"$1.child"; sleep 60' sh "$engine/building-$name" &
        echo $$ >"$engine/building-$name.leader"
        wait
    fi
    while [ -e "$engine/fail-$name" ]; do
        if [ "$(cat "$engine/fail-$name")" = now ]; then
            echo "#5 1.0 no space left on device" >&2
            exit 1
        fi
        sleep 0.05
    done
    sleep 0.3
    echo "sha256:$name" >"$engine/images/$(echo "$tag" | tr '/:' '__')"
    ;;
run)
    while [ $# -gt 1 ]; do
        [ "$1" = --name ] && echo "$2" >>"$engine/containers"
        shift
    done
    if [ -e "$engine/slow-run" ]; then touch "$engine/running"; sleep 60; fi
    ;;
commit) echo e30= >"$file" ;;
rm) echo "$last" >>"$engine/removed" ;;
version)
    [ "${3-}" = "{{.Client.Version}}" ] && { echo 20.10; exit 0; }
    ;;
esac
exit 0
