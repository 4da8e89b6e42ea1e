# Sourced by init.sh instead of its sections: how many frames a second are captured, converted and encoded.
# shellcheck shell=sh disable=SC2154 # init.sh sets the names of the devices.

# Three seconds each, several times: an emulated machine is as fast as its host has time for it, and the best counts.
bench() {
	for _ in 1 2 3 4 5; do
		for format in YU12 NV12 YUYV; do
			timeout 60 capture "$1" $format --frames 90
		done
	done
}

for device in $camera $planes; do
	v4l2-ctl --device "$device" --set-input 0
	v4l2-ctl --device "$device" --set-standard ntsc
done
section single-planar bench "$camera"
section multi-planar bench "$planes"
