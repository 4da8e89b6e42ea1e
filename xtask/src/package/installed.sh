#!/bin/sh
# Installs, upgrades, removes and purges the package $1, on a copy of this system that is gone afterwards; within a mount
# namespace of its own. Exits with 77 where this kernel or container does not let it make such a copy.
set -eu
package=$1

mount -t tmpfs tmpfs /mnt || exit 77
mkdir /mnt/changes /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/changes,workdir=/mnt/work /mnt/root || exit 77
mount -t proc proc /mnt/root/proc || exit 77
mount --bind /dev /mnt/root/dev || exit 77
# No systemd answers in there: services are enabled, not started.
mount -t tmpfs tmpfs /mnt/root/run
cp "$package" /mnt/root/signal-srv.deb

exec chroot /mnt/root sh -euxc '
	wanted=/etc/systemd/system/multi-user.target.wants/signal-srv.service
	dpkg --force-depends --install /signal-srv.deb
	getent passwd signal-srv
	test "$(stat --format=%G:%a /etc/signal-srv)" = signal-srv:750
	test -L $wanted
	for port in http https; do
		test ! -e /etc/systemd/system/sockets.target.wants/signal-srv-$port.socket
	done
	install -d -o signal-srv /var/lib/signal-srv
	as_service="setpriv --reuid signal-srv --regid signal-srv --clear-groups env STATE_DIRECTORY=/var/lib/signal-srv"

	echo "max_viewers = 3" >> /etc/signal-srv/signal-srv.toml
	rm $wanted
	dpkg --force-depends --install /signal-srv.deb
	test ! -e $wanted
	$as_service signal-srv --config /etc/signal-srv/signal-srv.toml --print-config | grep "max_viewers = 3"

	dpkg --remove signal-srv
	test ! -e /usr/bin/signal-srv
	test -e /etc/signal-srv/signal-srv.toml
	test -d /var/lib/signal-srv
	dpkg --purge signal-srv
	test ! -e /etc/signal-srv
	test ! -e /var/lib/signal-srv
'
