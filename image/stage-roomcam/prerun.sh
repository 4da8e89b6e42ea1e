#!/bin/bash -e
# pi-gen: go on from where the stage before has ended. `cargo xtask image` hands over a root file system of its own.
if [ ! -d "${ROOTFS_DIR}" ]; then
	copy_previous
fi
