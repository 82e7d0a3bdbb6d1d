#!/usr/bin/env bash
# Makes the test images from their sources. Their bytes are committed, so only a change of a source
# needs this, and clang, lld and llvm (Debian: apt-get install clang-19 lld-19 llvm-19).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

tool() {
    local name
    for name in "$1-19" "$1"; do
        if command -v "$name"; then return; fi
    done
    echo "$1 is missing; install clang, lld and llvm" >&2
    return 1
}
clang=$(tool clang)
link=$(tool lld-link)
dlltool=$(tool llvm-dlltool)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for library in ntoskrnl FLTMGR; do
    "$dlltool" -m i386:x86-64 -d "$library.def" -l "$work/$library.lib"
done
for source in *.c; do
    driver=${source%.c}
    # What a driver imports beyond the common names is in files of its own.
    libraries=("$work/ntoskrnl.lib" "$work/FLTMGR.lib")
    for names in "$driver.def" "$driver"-*.def; do
        if [[ -f $names ]]; then
            "$dlltool" -m i386:x86-64 -d "$names" -l "$work/${names%.def}.lib"
            libraries=("$work/${names%.def}.lib" "${libraries[@]}")
        fi
    done
    "$clang" --target=x86_64-pc-windows-msvc -O1 -std=c17 -ffreestanding -fms-extensions \
        -mno-red-zone -fasynchronous-unwind-tables -Wall -Wextra -Werror -Wno-language-extension-token \
        -Wno-unused-parameter -Wno-incompatible-library-redeclaration -Wno-microsoft \
        -c "$driver.c" -o "$work/$driver.obj"
    # Some functions of the kernel are only for images whose signature is checked.
    integrity=()
    if [[ $driver == os ]]; then integrity=(/integritycheck); fi
    # /Brepro: the same sources give the same bytes.
    "$link" /nologo /driver /subsystem:native /entry:DriverEntry /nodefaultlib /dynamicbase /Brepro /noimplib "${integrity[@]}" \
        "/out:$driver.sys" "$work/$driver.obj" "${libraries[@]}"
done
