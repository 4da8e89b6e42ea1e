# Sourced by init.sh: the agent on a camera that stumbles. Unplugged a hundred times, silent, broken, paused.
# shellcheck shell=sh disable=SC2154 # init.sh sets the names of the devices.

log=/tmp/agent
driver=/sys/bus/platform/drivers/vivid

# fresh COMMAND...: the cameras as they were at power-on, under their first numbers.
fresh() {
	[ ! -e $driver/vivid.0 ] || echo vivid.0 >$driver/unbind
	echo vivid.0 >$driver/bind
	"$@"
}

# agent_with OPTIONS...: starts it; nobody is there to let it into a room, and it streams all the same.
agent_with() {
	camera-fw run --server ws://127.0.0.1:8192 --state-dir /tmp/state --log camera_fw=debug "$@" >$log 2>&1 &
	agent=$!
}

# Milliseconds since the machine was switched on.
clock() { awk '{ print int($1 * 1000) }' /proc/uptime; }

seen() { grep -c "$1" $log; }

# until_seen COUNT TEXT: waits until the log has so many lines with TEXT; a minute at most.
until_seen() {
	tries=0
	while [ "$(seen "$2")" -lt "$1" ]; do
		kill -0 $agent 2>/dev/null || return 1
		tries=$((tries + 1))
		[ $tries -lt 3000 ] || return 1
		usleep 20000
	done
}

# What the agent has open and holds: descriptors, and memory of its own in KiB.
holdings() {
	echo "$(ls /proc/$agent/fd | wc -l),$(awk '/^RssAnon/ { print $2 }' /proc/$agent/status)"
}

stop_agent() {
	kill -TERM $agent
	wait $agent
	echo "agent=$?"
	grep -v 'last second' $log | tail -n 12
}

# unplug_and_return CYCLE: takes the driver from its device and gives it back. Every second time somebody keeps the old node
# open, so that the camera comes back under another number.
unplug_and_return() {
	node=$(opened)
	[ $(($1 % 2)) = 1 ] || exec 3<"$node"
	echo vivid.0 >$driver/unbind
	# Before the first picture there was none either.
	until_seen $(($1 + 1)) 'picture=Lost' || return 1
	begun=$(clock)
	echo vivid.0 >$driver/bind
	until_seen $(($1 + 1)) 'picture=Live' || return 1
	took=$(($(clock) - begun))
	[ $took -le $worst ] || worst=$took
	[ "$(opened)" = "$node" ] || moved=$((moved + 1))
	exec 3<&-
}

# The node that was opened last.
opened() { sed -n 's/.*source opened source=\([^ ]*\).*/\1/p' $log | tail -n 1; }

# replug CYCLES
replug() {
	worst=0 moved=0 cycle=0 early=
	agent_with --source $camera
	until_seen 1 'picture=Live' || echo 'no picture'
	while [ $cycle -lt "$1" ]; do
		cycle=$((cycle + 1))
		unplug_and_return $cycle || break
		[ $cycle != 50 ] || early=$(holdings)
	done
	echo "cycles=$cycle worst_ms=$worst moved=$moved early=$early late=$(holdings)"
	stop_agent
}

# Silent for good: opened anew three times, then the program ends with its reason.
silence() {
	v4l2-ctl --device $camera --set-ctrl percentage_of_dropped_buffers=0
	agent_with --source $camera
	until_seen 1 'picture=Live'
	v4l2-ctl --device $camera --set-ctrl percentage_of_dropped_buffers=100
	wait $agent
	status=$?
	echo "opened=$(seen 'source opened')"
	grep -v 'last second' $log | tail -n 12
	v4l2-ctl --device $camera --set-ctrl percentage_of_dropped_buffers=0
	return $status
}

# Broken once: it goes on by itself.
mended() {
	agent_with --source $camera
	until_seen 1 'picture=Live'
	v4l2-ctl --device $camera --set-ctrl inject_fatal_streaming_error=1
	until_seen 2 'picture=Live'
	echo "opened=$(seen 'source opened')"
	stop_agent
}

# While it is paused nobody has the camera open, and whoever wants can have it.
paused() {
	printf 'led = "%s"\nprivacy_switch = "%s"\n' $led $switch >/tmp/camera.toml
	throw_switch 0
	agent_with --source $camera --config /tmp/camera.toml
	until_seen 1 'picture=Live'
	kill -USR1 $agent
	until_seen 1 'picture=Paused' && try $camera YU12 --frames 3
	kill -USR2 $agent
	until_seen 2 'picture=Live' && echo 'signal: live again'
	throw_switch 1
	until_seen 2 'picture=Paused' && try $camera YU12 --frames 3
	kill -USR2 $agent # The switch has the last word.
	until_seen 1 'still paused'
	throw_switch 0
	until_seen 3 'picture=Live' && echo 'switch: live again'
	stop_agent
}

# The camera that somebody else uses, and one that comes after the program.
late() {
	echo vivid.0 >$driver/unbind
	agent_with --source $camera
	until_seen 1 'waiting for a camera' && echo 'it waits'
	echo vivid.0 >$driver/bind
	until_seen 1 'picture=Live' && echo 'it streams'
	stop_agent
}
