#!/bin/bash
# From a root file system as Debian's packages make it to the one of the image: runs the stage, as pi-gen does, harvests
# what is to be known of it, leaves out what nobody needs on a camera, and packs it.
#
#   make-root.sh BASE STAGE MODULES SCRATCH OUT
#
# BASE is an archive of Debian's packages; or a folder, such as pi-gen makes, in which the stage has run already.
# As root of a mount namespace of its own (`cargo xtask image` sees to that). MODULES is a tree with the kernel's modules;
# OUT gets `root.squashfs`, `status` (dpkg's list of what is in it), `copyright/`, `common-licenses/`, `busybox`.
set -euo pipefail
base=$1 stage=$2 modules=$3 scratch=$4 out=$5
: "${SOURCE_DATE_EPOCH:?}"
left_out=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/left-out

export STAGE_DIR=$stage ROOTFS_DIR=$scratch/root
mkdir -p "$ROOTFS_DIR" "$out"
# No device is needed in it, and only the true root could make one.
if [ -d "$base" ]; then
	tar --create --directory "$base" --one-file-system --exclude='./dev/*' --exclude='./boot/*' --exclude='./usr/lib/modules/*' .
else
	cat "$base"
fi | tar --extract --directory "$ROOTFS_DIR" --numeric-owner --exclude='./dev/*'

# shellcheck disable=SC2120 # Stages may give it arguments.
on_chroot() {
	chroot "$ROOTFS_DIR" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
		SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" bash -e "$@"
}
# What scripts throw away goes somewhere.
: >"$ROOTFS_DIR/dev/null"
chmod 666 "$ROOTFS_DIR/dev/null"

# In pi-gen's order (build.sh, run_stage): each folder's steps by number, outside before inside. The packages are there.
for folder in "$stage"/*/; do
	[ ! -d "$base" ] && [ ! -e "$folder/SKIP" ] || continue
	cd "$folder"
	for step in 00 01 02 03 04 05 06 07 08 09; do
		[ ! -x "$step-run.sh" ] || "./$step-run.sh"
		[ ! -f "$step-run-chroot.sh" ] || on_chroot <"$step-run-chroot.sh"
	done
done
rm "$ROOTFS_DIR/dev/null"

mkdir -p "$ROOTFS_DIR/usr/lib/modules" "$ROOTFS_DIR/boot/firmware"
cp -a "$modules/." "$ROOTFS_DIR/usr/lib/modules/"
chown -R 0:0 "$ROOTFS_DIR/usr/lib/modules"

cp "$ROOTFS_DIR/var/lib/dpkg/status" "$out/status"
cp "$ROOTFS_DIR/usr/bin/busybox" "$out/busybox"
mkdir -p "$out/copyright"
for file in "$ROOTFS_DIR"/usr/share/doc/*/copyright; do
	package=${file%/copyright}
	# A link to another package's file is the same text.
	[ ! -f "$file" ] || cp -L "$file" "$out/copyright/${package##*/}"
done
cp -rL "$ROOTFS_DIR/usr/share/common-licenses" "$out/"

cd "$ROOTFS_DIR"
shopt -s extglob nullglob dotglob
while read -r pattern; do
	case $pattern in '' | '#'*) continue ;; esac
	# shellcheck disable=SC2086 # A pattern is what it is.
	rm -rf -- $pattern
done <"$left_out"
cd /

rm -f "$out/root.squashfs"
# One time for all; its own variable would only cap them.
env --unset SOURCE_DATE_EPOCH mksquashfs "$ROOTFS_DIR" "$out/root.squashfs" -comp zstd -Xcompression-level 15 -b 256K -no-xattrs -no-exports \
	-noappend -no-progress -all-time "$SOURCE_DATE_EPOCH" -mkfs-time "$SOURCE_DATE_EPOCH" >"$out/squashfs.log"
rm -rf "$scratch/root"
