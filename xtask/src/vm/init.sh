#!/bin/busybox sh
# The guest's only program: loads vivid, tries the camera code on it, reports, powers off.
#
# What is reported goes to the second serial port, so that the kernel's own lines (first port) cannot tear it apart:
# between `::begin NAME` and `::end NAME STATUS` what a command printed. Judged on the host, by verdict.rs.

/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
stty -F /dev/ttyS1 -opost
exec >/dev/ttyS1 2>&1

# run NAME COMMAND...: one check. A command that hangs is ended, with status 143.
run() {
	name=$1
	shift
	echo "::begin $name"
	timeout 90 "$@"
	echo "::end $name $?"
}

# during COMMAND: starts a capture without end, runs COMMAND once it streams, waits for the capture's end.
during() {
	timeout 60 capture $camera YU12 --frames "${frames:-1000000}" >/tmp/captured 2>&1 &
	pid=$!
	until grep -q 'camera started' /tmp/captured; do
		kill -0 $pid || break
		usleep 20000
	done
	eval "$1"
	wait $pid
	status=$?
	cat /tmp/captured
	return $status
}

control() { v4l2-ctl --device $camera --set-ctrl "$1"; }

# failing CONTROL: an open that meets this fault, then one that must find nothing left over from it.
failing() {
	control "$1=1"
	capture $camera YU12 --frames 5 && echo "the fault went unnoticed"
	capture $camera YU12 --frames 5
}

# Under one name for the host: functions cannot run under `timeout`, and need not: what they start does.
section() {
	name=$1
	shift
	echo "::begin $name"
	"$@"
	echo "::end $name $?"
}

while read -r module options; do
	insmod "/modules/$module" $options || echo "cannot load $module"
done </modules/list

camera=/dev/video0
planes=/dev/video1
control osd_text_mode=2
control show_border=1,show_square=1

run devices camera-fw devices
run formats capture $camera
mkdir /tmp/saved
for format in YU12 NV12 YUYV; do
	run plain-$format capture $camera $format --frames 10 --save /tmp/saved/$format
	run padded-$format capture $camera $format --frames 10 --stride 2048 --save /tmp/saved/$format-padded
done
run same sh -c 'cd /tmp/saved && md5sum *'

section busy during "capture $camera YU12; echo status=\$?; kill \$pid"
run not-a-camera capture $planes

control percentage_of_dropped_buffers=30
run gaps capture $camera YU12
control percentage_of_dropped_buffers=100
run stalled capture $camera YU12
control percentage_of_dropped_buffers=0

frames=60
section damaged during 'for i in 1 2 3; do control inject_v4l2_buf_flag_error=1; usleep 200000; done'
unset frames
section fatal during 'control inject_fatal_streaming_error=1'
section reqbufs failing inject_vidioc_reqbufs_error
section qbuf failing inject_vidioc_qbuf_error
section streamon failing inject_vidioc_streamon_error

v4l2-ctl --device $camera --set-input 1
run webcam capture $camera YUYV --size 640x480
v4l2-ctl --device $camera --set-input 2
run hdmi capture $camera NV12 --frames 5 --size 1280x720
v4l2-ctl --device $camera --list-dv-timings
v4l2-ctl --device $camera --set-dv-bt-timings index=0
run hdmi2 capture $camera NV12 --frames 5 --size 1280x720
v4l2-ctl --device $camera --set-input 0
v4l2-ctl --device $camera --list-ctrls

section agent sh -c 'timeout 5 camera-fw run --source /dev/video0 --server ws://127.0.0.1:8192 --state-dir /tmp/state'
section disconnect during 'control disconnect=1'
run devices-after camera-fw devices
echo "::done"
poweroff -f
