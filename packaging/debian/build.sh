#!/bin/bash
# Builds the Debian package from what `make build` made: build.sh BIN OUTPUT-DIRECTORY.
# The same input gives the same bytes: times are SOURCE_DATE_EPOCH's, owners are root.
set -euo pipefail
umask 022

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=$1
out=$2
version=$("$bin/tidelock" version -o json | sed -n 's/.*"version": "\(.*\)".*/\1/p')
arch=$(dpkg --print-architecture)
triplet=$(gcc -print-multiarch)
: "${SOURCE_DATE_EPOCH:=$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)}"
export SOURCE_DATE_EPOCH

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
doc=$tree/usr/share/doc/tidelock

install -D -m 755 "$bin/tidelock" "$tree/usr/bin/tidelock"
install -D -m 755 "$bin/tidelock-p11" "$tree/usr/libexec/tidelock/tidelock-p11"
install -D -m 644 "$bin/libtidelock.so" "$tree/usr/lib/$triplet/libtidelock.so"
strip --strip-unneeded --remove-section=.comment "$tree/usr/bin/tidelock" "$tree/usr/libexec/tidelock/tidelock-p11" "$tree/usr/lib/$triplet/libtidelock.so"
ln -s libtidelock.so "$tree/usr/lib/$triplet/libCryptoki2_64.so"
# p11-kit looks for modules without a path in its own directory.
install -d "$tree/usr/share/p11-kit/modules"
printf 'module: /usr/lib/%s/libtidelock.so\n' "$triplet" >"$tree/usr/share/p11-kit/modules/tidelock.module"

for unit in tidelock.service tidelock.socket tidelock-admin.socket; do
    install -D -m 644 "$root/packaging/systemd/$unit" "$tree/lib/systemd/system/$unit"
done
install -D -m 644 "$root/packaging/systemd/tidelock.sysusers" "$tree/usr/lib/sysusers.d/tidelock.conf"
install -D -m 644 "$root/packaging/systemd/tidelock.tmpfiles" "$tree/usr/lib/tmpfiles.d/tidelock.conf"

install -d "$tree/usr/share/bash-completion/completions"
"$bin/tidelock" completion bash >"$tree/usr/share/bash-completion/completions/tidelock"
chmod 644 "$tree/usr/share/bash-completion/completions/tidelock"

install -d "$tree/usr/share/man/man1"
"$bin/tidelock" man "$tree/usr/share/man/man1" >/dev/null
gzip -9n "$tree"/usr/share/man/man1/*

install -d "$doc"
install -m 644 "$root"/docs/*.md "$doc"
install -m 644 "$here/copyright" "$doc/copyright"
gzip -9n <"$root/CHANGELOG.md" >"$doc/changelog.gz"
chmod 644 "$doc/changelog.gz"

install -d "$tree/DEBIAN"
for script in postinst prerm postrm; do
    install -m 755 "$here/$script" "$tree/DEBIAN/$script"
done
size=$(du --apparent-size -sk --exclude=DEBIAN "$tree" | cut -f1)
sed -e "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@SIZE@/$size/" "$here/control" >"$tree/DEBIAN/control"
(cd "$tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\n' | LC_ALL=C sort | xargs md5sum >DEBIAN/md5sums)

find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$out"
package=$out/tidelock_${version}_$arch.deb
dpkg-deb --root-owner-group -Zxz --build "$tree" "$package" >/dev/null
echo "$package"
