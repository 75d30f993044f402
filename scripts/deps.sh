#!/bin/bash
# Makes sure that the Debian packages which demo, tests and benchmarks need are
# installed: as root it installs what is missing, otherwise it says how to.
# --fuzz adds what only the fuzzing of the C library needs.
set -euo pipefail

packages=(
    gcc libc6-dev make procps curl openssl
    opensc                   # pkcs11-tool
    libengine-pkcs11-openssl # OpenSSL's way to PKCS#11
    nginx-light              # a server that forks
    gnutls-bin               # p11tool, certtool
    openssh-client openssh-server
    osslsigncode             # signs programs of Windows
    python3-pykcs11
    p11-kit p11-kit-modules  # a token over a socket
    libnss3-tools            # certutil, signtool
    stunnel4 apache2-bin     # more servers
    sbsigntool               # signs programs of UEFI
    gnupg gnupg-pkcs11-scd
    knot knot-dnssecutils ldnsutils libhsm-bin bind9-utils # zones of DNSSEC
    softhsm2                 # what the benchmark compares with
)
command -v javac >/dev/null || packages+=(default-jdk-headless) # Java programs
if [[ ${1:-} == --fuzz ]]; then
    packages+=(clang libclang-rt-14-dev)
fi

if ! command -v dpkg-query >/dev/null; then
    echo "deps: no Debian here; demo and tests need what its packages hold: ${packages[*]}" >&2
    exit 1
fi
missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    if [[ $state != installed ]]; then
        missing+=("$package")
    fi
done
if ((${#missing[@]} == 0)); then
    exit 0
fi
if ((EUID != 0)); then
    echo "deps: missing Debian packages; to install them: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# Servers among the packages are for the tests to start, not for the system.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
install=(apt-get install --yes --quiet --no-install-recommends "${missing[@]}")
# The list of packages is fetched only when the one at hand does not do.
if ! "${install[@]}"; then
    apt-get update --quiet
    "${install[@]}"
fi
