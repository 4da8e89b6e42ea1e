# Runs inside the root file system. Users first: files and units name them.
systemd-sysusers roomcam.conf

# What is not started cannot fail, listen, or take time.
# Caches and databases of a system whose root changes, which this one never does:
systemctl mask ldconfig.service systemd-hwdb-update.service systemd-journal-catalog-update.service \
	systemd-update-done.service systemd-firstboot.service systemd-machine-id-commit.service systemd-sysusers.service
# What there is no place to keep, no hardware or no one for:
systemctl mask systemd-random-seed.service systemd-pstore.service systemd-rfkill.service systemd-rfkill.socket \
	systemd-pcrphase.service systemd-pcrphase-sysinit.service systemd-pcrmachine.service systemd-tpm2-setup.service \
	systemd-tpm2-setup-early.service systemd-binfmt.service systemd-boot-update.service systemd-bless-boot.service \
	systemd-hibernate-clear.service systemd-backlight@.service systemd-ask-password-console.path \
	systemd-ask-password-wall.path systemd-remount-fs.service systemd-growfs-root.service \
	systemd-journal-flush.service systemd-update-utmp.service systemd-user-sessions.service \
	systemd-logind.service systemd-initctl.socket systemd-networkd-wait-online.service \
	systemd-networkd-persistent-storage.service systemd-network-generator.service \
	systemd-udev-load-credentials.service systemd-tmpfiles-setup-dev-early.service systemd-tmpfiles-setup-dev.service \
	kmod-static-nodes.service tmp.mount run-lock.mount \
	proc-sys-fs-binfmt_misc.automount dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount \
	sys-kernel-tracing.mount sys-fs-fuse-connections.mount sys-kernel-config.mount
# A console shows the code, and asks nobody for a name:
systemctl mask getty.target getty@.service serial-getty@.service console-getty.service autovt@.service \
	systemd-userdbd.socket systemd-userdbd.service
# What people's computers do at night:
systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
	fstrim.timer systemd-tmpfiles-clean.timer
# The commands of systemd-udevd's hardware database are for keyboards; sockets of systemd that nobody uses here:
systemctl mask systemd-creds.socket systemd-mountfsd.socket systemd-nsresourced.socket systemd-sysext.socket \
	systemd-pcrlock.socket systemd-pcrextend.socket systemd-coredump.socket systemd-hostnamed.socket \
	systemd-journald-audit.socket

systemctl set-default multi-user.target
systemctl enable systemd-networkd.service systemd-resolved.service systemd-timesyncd.service iwd.service \
	roomcam-prepare.service camera-fw.service roomcam-present.service roomcam-ssh.service

# Generators look at every start for what is not there: file system tables, encrypted disks, consoles to log in at, …
install -d /etc/systemd/system-generators
for generator in /usr/lib/systemd/system-generators/*; do
	case ${generator##*/} in
	# The one by which a person can add a unit from the kernel's command line, to find a fault.
	systemd-debug-generator) ;;
	*) ln -sfn /dev/null "/etc/systemd/system-generators/${generator##*/}" ;;
	esac
done
