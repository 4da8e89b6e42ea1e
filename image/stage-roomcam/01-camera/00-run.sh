#!/bin/bash -e
# The agent. `cargo xtask image` puts it here; for pi-gen see image/pi-gen/README.md.
if [ ! -x files/camera-fw ]; then
	echo "files/camera-fw is missing: build it first (image/pi-gen/README.md)" >&2
	exit 1
fi
install -m 755 files/camera-fw "${ROOTFS_DIR}/usr/bin/camera-fw"
