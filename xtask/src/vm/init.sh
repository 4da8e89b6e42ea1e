#!/bin/busybox sh
# The guest's only script: loads vivid, tries the camera code on it, reports, powers off.
#
# What is reported goes to a port of its own, so that the kernel's lines (on the serial port) cannot tear it apart:
# between `::begin NAME` and `::end NAME STATUS` stands what was printed. verdict.rs, on the host, judges it.

/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
chmod 1777 /tmp
: >/tmp/agent.toml
until [ -c /dev/vport0p1 ]; do usleep 10000; done
exec >/dev/vport0p1 2>&1

while read -r module options; do
	# shellcheck disable=SC2086 # Options are several words.
	insmod "/modules/$module" $options || echo "cannot load $module"
done </modules/list

# As on a system with udev: who may open a camera is in the group video.
echo 'video:x:44:' >/etc/group
chgrp 44 /dev/video*
chmod 660 /dev/video*

camera=/dev/video0 # S-Video (0), webcam (1), HDMI (2)
other=/dev/video1  # its output, and behind that its metadata
planes=/dev/video3 # S-Video, multi-planar alone
led=/sys/class/leds/input0::capslock
switch=gpiochip0:5

# throw_switch 0|1: makes the line read so, with an edge as from a true switch. The controller (PL061) keeps, as an input,
# what was last put out; its driver knows nothing of it.
throw_switch() {
	devmem 0x09030400 8 0x20          # direction: out
	devmem 0x09030080 8 $(($1 * 0x20)) # data, of this line alone
	devmem 0x09030400 8 0             # direction: in
}

# section NAME COMMAND...: one part of the report.
section() {
	name=$1
	shift
	echo "::begin $name"
	"$@"
	echo "::end $name $?"
}

# A capture that hangs is ended, with status 143.
try() { timeout 60 capture "$@"; }

control() { v4l2-ctl --device $camera --set-ctrl "$1"; }

input() { v4l2-ctl --device $camera --set-input "$1"; }

# while_running PROGRAM TEXT COMMANDS: starts it, runs COMMANDS once it has said TEXT, waits for its end.
while_running() {
	program=$1
	text=$2
	commands=$3
	: >/tmp/said # It may still hold what the last one said.
	$program >/tmp/said 2>&1 &
	pid=$!
	said "$text"
	eval "$commands"
	wait $pid
	status=$?
	cat /tmp/said
	return $status
}

# said TEXT: waits until the program that runs has said it.
said() {
	until grep -q "$1" /tmp/said; do
		kill -0 $pid || return
		usleep 20000
	done
}

# agent SOURCE TEXT COMMANDS: the agent, which finds no server.
agent() {
	while_running "timeout 60 camera-fw run --source $1 --config /tmp/agent.toml --server ws://127.0.0.1:8192 --state-dir /tmp/state" \
		"$2" "$3"
}

# during FRAMES COMMANDS: COMMANDS while a capture streams; its end is the section's.
during() { while_running "timeout 60 capture $camera YU12 --frames $1" 'camera started' "$2"; }

# failing CONTROL: an open that meets this fault, then one that must find nothing left over from it.
failing() {
	control "$1=1"
	try $camera YU12 --frames 5 && echo 'the fault went unnoticed'
	try $camera YU12 --frames 5
}

# each DEVICE FORMAT...
each() {
	device=$1
	shift
	for format; do
		try "$device" "$format" --frames 30 || return
	done
}

# One picture of each format, planes together and apart, lines close together and far apart: the same pixels, or a place or
# a stride is wrong.
#
# Squares that begin on even lines, so that it is the same which of two lines gives the chroma.
pictures() {
	mkdir /tmp/pictures
	for device in $camera $planes; do
		v4l2-ctl --device "$device" --set-ctrl test_pattern=4,show_square=0
	done
	for format in YU12 YV12 NV12 NV21 YUYV UYVY; do
		try $camera $format --frames 3 --save /tmp/pictures/$format
		try $camera $format --frames 3 --save /tmp/pictures/$format-padded --stride 2048
	done
	for format in YU12 NV12 YUYV YM12 YM21 NM12 NM21; do
		try $planes $format --frames 3 --save /tmp/pictures/$format-planes
	done
	try $planes NM12 --frames 3 --save /tmp/pictures/NM12-planes-padded --stride 2048
	for device in $camera $planes; do
		v4l2-ctl --device "$device" --set-ctrl test_pattern=0,show_square=1
	done
	cd /tmp/pictures && md5sum ./*
	cd /
}

# What a full range loses must come back: browsers show the limited one.
ranges() {
	try $camera YU12 --frames 3
	control quantization=1
	for format in YU12 NV12 NV21 YUYV UYVY; do
		try $camera $format --frames 3
	done
	control quantization=0
}

# Set by name and read back, seen in the picture; what is not possible is said, and nothing ends.
controls() {
	try $camera YU12 --frames 3
	try $camera YU12 --frames 3 --controls brightness=200,hflip=true
	v4l2-ctl --device $camera --get-ctrl brightness,horizontal_flip
	try $camera YU12 --frames 3 --controls brightness=9999,focus=auto,vflip=maybe
	v4l2-ctl --device $camera --get-ctrl brightness
	control brightness=128,horizontal_flip=0
}

# The one television standard has 576 lines, the other 480; a webcam has none. An input without a signal says so.
inputs() {
	try $camera YU12 --frames 3 --standard PAL --size 720x576
	try $camera YU12 --frames 3 --standard ntsc-m
	try $camera YU12 --frames 3 --input 1 --size 640x360
	try $camera YU12 --frames 3 --standard PAL
	try $camera YU12 --frames 3 --input SCART
	try $camera YU12 --frames 3 --input "$(v4l2-ctl --device $camera --list-inputs | sed -n 's/.*Name *: //p' | head -n 1)"
	control standard_signal_mode=1
	camera-fw devices | grep -m 1 -A 1 "^$camera "
	try $camera YU12 --frames 3 --standard auto
	control standard_signal_mode=0
	try $camera YU12 --frames 3 --standard auto
	input 2 # The signal is that of the input at the time.
	control dv_timings_signal_mode=1
	try $camera YU12 --frames 3
	control dv_timings_signal_mode=0
	input 0
}

# Another format in another size, again and again: nothing of the last one may be left.
changes() {
	input 1
	try $camera NV12 --frames 3 --size 640x360
	try $camera YUYV --frames 3 --size 320x180
	try $camera YU12 --frames 3 --size 1280x720 --fps 10
	try $camera NV12 --frames 3 --size 640x360
	input 0
}

rates() {
	input 1
	try $camera NV12 --size 320x180 --fps 30
	try $camera NV12 --size 320x180 --fps 10 --frames 20
}

# The first mode in vivid's list that is interlaced: HDMI gives it field by field.
fields() {
	input 2
	mode=$(v4l2-ctl --device $camera --list-dv-timings | awk '/Index/ { index_ = $2 } /interlaced/ { print index_; exit }')
	v4l2-ctl --device $camera --set-dv-bt-timings "index=$mode"
	try $camera
}

# What a board has besides its camera: an LED, which somebody else has lit, and a privacy switch.
board() {
	printf 'led = "%s"\nprivacy_switch = "%s"\n' $led $switch >/tmp/agent.toml
	echo 1 >$led/brightness
	agent $camera 'source opened' 'echo "led=$(cat $led/brightness)"
		throw_switch 1
		said "paused: the camera is closed"
		throw_switch 0
		said "no longer paused"
		kill -TERM $pid'
	status=$?
	: >/tmp/agent.toml
	return $status
}

# libcamera's cameras without hardware; from here on they are there.
virtual_cameras() {
	mkdir -p /usr/share/libcamera/pipeline/virtual
	cp /cameras.yaml /usr/share/libcamera/pipeline/virtual/virtual.yaml
	export LIBCAMERA_LOG_LEVELS='*:ERROR' CAMERA_FW_LOG=camera_fw=debug
	camera-fw devices
	agent libcamera 'captured=[1-9]' 'kill -TERM $pid'
	status=$?
	unset LIBCAMERA_LOG_LEVELS CAMERA_FW_LOG
	return $status
}

damage() {
	for _ in 1 2 3; do
		control inject_v4l2_buf_flag_error=1
		usleep 200000
	done
}

if grep -q task=bench /proc/cmdline; then
	. /bench.sh
	echo '::done'
	poweroff -f
fi

input 0
v4l2-ctl --device $camera --set-standard ntsc
v4l2-ctl --device $planes --set-standard ntsc
# No text, which changes with time; a square in the middle, so that lines differ.
control osd_text_mode=2,show_square=1
v4l2-ctl --device $planes --set-ctrl osd_text_mode=2,show_square=1

section devices camera-fw devices
section formats each $camera YU12 YV12 NV12 NV21 YUYV UYVY
section planes each $planes YU12 YUYV YM12 YM21 NM12 NM21
section pictures pictures
section ranges ranges
section controls controls
section inputs inputs
section changes changes

section rates rates
section fields fields
input 0

# The owner is not of the group video, as on a fresh system.
section permission su maker -c "capture $camera"
section no-camera try $other
section no-device try /dev/video7
section busy during 1000000 "try $camera YU12; echo \"second=\$?\"; kill \$pid"

section reqbufs failing inject_vidioc_reqbufs_error
section qbuf failing inject_vidioc_qbuf_error
section streamon failing inject_vidioc_streamon_error
control percentage_of_dropped_buffers=30
section dropped try $camera YU12
control percentage_of_dropped_buffers=100
section stalled try $camera YU12
control percentage_of_dropped_buffers=0
section damaged during 60 damage
section fatal during 1000000 'control inject_fatal_streaming_error=1'

section agent agent $camera 'source opened' 'kill -TERM $pid'
section board board
section libcamera virtual_cameras
section disconnect during 1000000 'control disconnect=1'

. /stumbles.sh
section late fresh late
section mended fresh mended
section silence fresh silence
section paused fresh paused
section replug fresh replug 100

echo '::done'
poweroff -f
