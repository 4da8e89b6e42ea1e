#!/bin/bash -e
# The system: what of it starts, and how little of it there is. Everything here is a file; nothing runs.

# tar and not cp: modes as in the repository whatever the umask, and times that do not depend on the checkout.
tar --create --directory files --owner 0 --group 0 --mode 'u=rwX,go=rX' . |
	tar --extract --directory "${ROOTFS_DIR}" --no-same-owner --keep-directory-symlink

# Nobody logs in: there is no password, no prompt on any console, and ssh only with a key from the boot partition.
for file in passwd shadow; do
	[ ! -f "${ROOTFS_DIR}/etc/$file" ] || sed -i 's/^root:[^:x]*:/root:*:/' "${ROOTFS_DIR}/etc/$file"
done
install -d -m 700 "${ROOTFS_DIR}/root"
# A folder of that name may be there, and the link would be made within.
rm -rf "${ROOTFS_DIR}/root/.ssh"
ln -sfn /run/roomcam/ssh "${ROOTFS_DIR}/root/.ssh"

# What is decided at each boot from the file on the boot partition lies in /run.
install -d "${ROOTFS_DIR}/etc/iwd"
ln -sfn /run/roomcam/iwd.conf "${ROOTFS_DIR}/etc/iwd/main.conf"
rm -rf "${ROOTFS_DIR}/var/lib/iwd"
ln -sfn /run/roomcam/iwd "${ROOTFS_DIR}/var/lib/iwd"
ln -sfn /run/systemd/resolve/resolv.conf "${ROOTFS_DIR}/etc/resolv.conf"

# Mounted over by the initramfs; in their place if it could not, and then in memory like all else.
install -d -m 755 "${ROOTFS_DIR}/boot/firmware" "${ROOTFS_DIR}/var/lib/roomcam"

# A fresh number in every machine and at every boot: it identifies nothing (addresses are asked for by MAC, see
# 20-wired.network), and a file that is there and empty is no first boot, at which systemd would set up everything anew.
: >"${ROOTFS_DIR}/etc/machine-id"
rm -f "${ROOTFS_DIR}/var/lib/dbus/machine-id"
echo roomcam >"${ROOTFS_DIR}/etc/hostname"
printf '127.0.0.1 localhost\n::1 localhost\n' >"${ROOTFS_DIR}/etc/hosts"
: >"${ROOTFS_DIR}/etc/fstab"

# No clock on the board: it is never earlier than the day this was built (systemd(1), "SYSTEM CLOCK EPOCH").
: >"${ROOTFS_DIR}/usr/lib/clock-epoch"
touch --date "@${SOURCE_DATE_EPOCH:-$(date +%s)}" "${ROOTFS_DIR}/usr/lib/clock-epoch"
